// Curves as SVG, small and plain: readable on a light page and on a dark one.

const [WIDTH, HEIGHT] = [720, 340]
const FRAME = { left: 64, right: 40, top: 64, bottom: 52 }
const COLOURS = ['series-1', 'series-2', 'series-3', 'series-4', 'series-5']

const STYLE = `
  .page { fill: #ffffff } .grid { stroke: #e3e6ea } .axis { stroke: #8a929c }
  text { fill: #3b424b; font: 12px system-ui, sans-serif } .title { fill: #14181d; font-size: 14px; font-weight: 600 }
  .series-1 { color: #2368c4 } .series-2 { color: #c2570c } .series-3 { color: #12805c } .series-4 { color: #8343c0 } .series-5 { color: #b0206a }
  .line { fill: none; stroke: currentColor; stroke-width: 2; stroke-linejoin: round } .dot { fill: currentColor }
  .spread { fill: currentColor; opacity: 0.12 }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117 } .grid { stroke: #262c34 } .axis { stroke: #6b7480 }
    text { fill: #b4bcc6 } .title { fill: #eef2f6 }
    .series-1 { color: #6ea8f5 } .series-2 { color: #f09a54 } .series-3 { color: #4cc79b } .series-4 { color: #c295f2 } .series-5 { color: #f083b8 }
  }`

/** A plot of curves (`{ title, x, y, series }`): x by powers of ten, y from zero, or by powers if it spans several. */
export function plot({ title, x, y, series }) {
  const points = series.flatMap((one) => one.points)
  const across = scale(
    points.map((point) => point.x),
    true,
    [FRAME.left, WIDTH - FRAME.right],
  )
  const values = points.flatMap(({ least, most }) => [least, most])
  const medians = points.map(({ median }) => median)
  const isWide = Math.min(...values) > 0 && Math.max(...medians) > 6 * Math.min(...medians)
  const up = scale(values, isWide, [HEIGHT - FRAME.bottom, FRAME.top])
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escape(title)}">
<style>${STYLE}
</style>
<rect class="page" width="${WIDTH}" height="${HEIGHT}" rx="6"/>
<text class="title" x="${FRAME.left}" y="24">${escape(title)}</text>
${legend(series)}
${gridAcross(up)}
${ticksBelow(across, up)}
<text x="${(FRAME.left + WIDTH - FRAME.right) / 2}" y="${HEIGHT - 12}" text-anchor="middle">${escape(x)}</text>
<text x="16" y="${(FRAME.top + HEIGHT - FRAME.bottom) / 2}" text-anchor="middle" transform="rotate(-90 16 ${(FRAME.top + HEIGHT - FRAME.bottom) / 2})">${escape(y)}</text>
${series.map((one, index) => curve(one, COLOURS[index % COLOURS.length], across, up)).join('\n')}
</svg>
`
}

function curve({ points }, colour, across, up) {
  const at = (place, value) => `${round(across.at(place))},${round(up.at(value))}`
  const band = [
    ...points.map((point) => at(point.x, point.most)),
    ...points.toReversed().map((point) => at(point.x, point.least)),
  ]
  const dots = points.map((point) => {
    const [cx, cy] = at(point.x, point.median).split(',')
    return `<circle class="dot" cx="${cx}" cy="${cy}" r="3"/>`
  })
  return `<g class="${colour}"><polygon class="spread" points="${band.join(' ')}"/><polyline class="line" points="${points
    .map((point) => at(point.x, point.median))
    .join(' ')}"/>${dots.join('')}</g>`
}

function legend(series) {
  let left = FRAME.left
  const items = series.map(({ name }, index) => {
    const item = `<g class="${COLOURS[index % COLOURS.length]}"><rect class="dot" x="${left}" y="38" width="12" height="4" rx="2"/></g><text x="${left + 18}" y="44">${escape(name)}</text>`
    left += 34 + name.length * 6.4
    return item
  })
  return items.join('')
}

function gridAcross(up) {
  return up.ticks
    .map((value) => {
      const y = round(up.at(value))
      return `<line class="grid" x1="${FRAME.left}" x2="${WIDTH - FRAME.right}" y1="${y}" y2="${y}"/><text x="${FRAME.left - 8}" y="${y + 4}" text-anchor="end">${label(value)}</text>`
    })
    .join('')
}

function ticksBelow(across, up) {
  const floor = round(up.at(up.ticks[0]))
  const line = `<line class="axis" x1="${FRAME.left}" x2="${WIDTH - FRAME.right}" y1="${floor}" y2="${floor}"/>`
  const ticks = across.ticks.map(
    (value) =>
      `<text x="${round(across.at(value))}" y="${HEIGHT - FRAME.bottom + 20}" text-anchor="middle">${label(value)}</text>`,
  )
  return line + ticks.join('')
}

/** From values to places, and the values that are labelled. */
function scale(values, isByPowers, [from, to]) {
  const [least, most] = [Math.min(...values), Math.max(...values)]
  if (isByPowers) {
    const base = most / least < 10 ? 2 : 10
    const power = (value) => Math.log(value) / Math.log(base)
    const [first, last] = [
      Math.floor(power(least) + 1e-9),
      Math.max(Math.ceil(power(most) - 1e-9), Math.floor(power(least)) + 1),
    ]
    const ticks = Array.from({ length: last - first + 1 }, (_, index) => base ** (first + index))
    return { ticks, at: (value) => from + ((power(value) - first) / (last - first)) * (to - from) }
  }
  const step = niceStep(most / 5)
  const count = Math.max(1, Math.ceil(most / step))
  const ticks = Array.from({ length: count + 1 }, (_, index) => index * step)
  return { ticks, at: (value) => from + (value / (count * step)) * (to - from) }
}

/** 1, 2 or 5 times a power of ten, no less than this. */
function niceStep(least) {
  const power = 10 ** Math.floor(Math.log10(least))
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= least * 0.999)
}

const round = (value) => Math.round(value * 10) / 10
const label = (value) => (value >= 1 ? Math.round(value * 10) / 10 : Number(value.toPrecision(1))).toLocaleString('en')
const escape = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
