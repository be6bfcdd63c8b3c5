/** Every link leads somewhere, and every page can be reached. */

import { existsSync, statSync } from 'node:fs'
import { join, posix } from 'node:path'

import { expect, test } from 'vitest'

import { PAGES, read, root } from './blocks.js'

/** The links of a page into the clone, each as the file from its root and the anchor. */
function links(page: string): { file: string; anchor: string | undefined }[] {
  const text = read(page).replaceAll(/^```[^]*?^```/gm, '')
  const targets = [...text.matchAll(/\]\(([^)\s]+)\)|(?:src|href)="([^"]+)"/g)].map(
    ([, link, source]) => link ?? source ?? '',
  )
  const inside = targets.filter((target) => !/^[a-z]+:/.test(target))
  return inside.map((target) => {
    const [path = '', anchor] = target.split('#')
    return { file: path === '' ? page : posix.join(posix.dirname(page), path), anchor }
  })
}

/** The anchors that GitHub gives to the headings of a page. */
function anchors(page: string): Set<string> {
  const text = read(page).replaceAll(/^```[^]*?^```/gm, '')
  const found = new Set<string>()
  for (const [, heading = ''] of text.matchAll(/^#+ (.*)$/gm)) {
    const words = heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase()
    const slug = words
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .trim()
      .replaceAll(/\s/g, '-')
    let name = slug
    for (let count = 1; found.has(name); count += 1) name = `${slug}-${count}`
    found.add(name)
  }
  return found
}

test.each(PAGES)('%s links to files and headings that are there', (page) => {
  const broken = links(page).filter(({ file, anchor }) => {
    if (!existsSync(join(root, file))) return true
    return anchor !== undefined && file.endsWith('.md') && !anchors(file).has(anchor)
  })
  expect(broken).toEqual([])
})

test('every page is reached from the index of the documents, and the index from the readme', () => {
  const reached = new Set(['docs/README.md'])
  for (const page of reached) {
    for (const { file } of links(page)) if (PAGES.includes(file)) reached.add(file)
  }
  expect(PAGES.filter((page) => !reached.has(page))).toEqual([])
  // In one step, because an index is what lists them.
  const listed = new Set(links('docs/README.md').map(({ file }) => file))
  expect(PAGES.filter((page) => page.startsWith('docs/') && page !== 'docs/README.md' && !listed.has(page))).toEqual([])
  expect(links('README.md').some(({ file }) => file === 'docs/README.md')).toBe(true)
})

test('headings are found as they are shown', () => {
  expect(anchors('README.md').has('nextjs')).toBe(true)
  expect(statSync(join(root, 'docs')).isDirectory()).toBe(true)
})
