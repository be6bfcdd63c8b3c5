// Aligned text, for a terminal and for a file.

/** One line per row under the names of the columns; numbers to the right. */
export function table(rows) {
  const names = Object.keys(rows[0] ?? {})
  const isNumeric = (name) => rows.every((row) => /^[\d.,]+( \w+)?$/.test(String(row[name])))
  const columns = names.map((name) => {
    const width = Math.max(name.length, ...rows.map((row) => String(row[name]).length))
    return (text) => (isNumeric(name) ? String(text).padStart(width) : String(text).padEnd(width))
  })
  const line = (cells) =>
    cells
      .map((cell, index) => columns[index](cell))
      .join('  ')
      .trimEnd()
  const head = line(names)
  return [head, '-'.repeat(head.length), ...rows.map((row) => line(names.map((name) => row[name])))].join('\n')
}
