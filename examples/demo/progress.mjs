// How far a batch is: a live line in a terminal, one plain line every tenth when piped to a file.

import cliProgress from 'cli-progress'

/** Gives `update`, for `onProgress`, and `stop`. */
export function showProgress(title, total) {
  return process.stdout.isTTY ? liveLine(title, total) : plainLines(title, total)
}

function liveLine(title, total) {
  const format = `${title.padEnd(21)} {bar} {value}/{total}  {failed} failed  {tokens} tokens  {left}`
  const bar = new cliProgress.SingleBar(
    { format, barsize: 30, hideCursor: true, stream: process.stdout },
    cliProgress.Presets.shades_classic,
  )
  bar.start(total, 0, { failed: 0, tokens: 0, left: '' })
  return {
    update(progress) {
      const { done, failed, tokens } = progress
      bar.update(done, { failed, tokens, left: left(progress) })
    },
    stop: () => bar.stop(),
  }
}

function plainLines(title, total) {
  let next = 1
  return {
    update(progress) {
      const tenth = Math.floor((10 * progress.done) / total)
      if (tenth < next) return
      next = tenth + 1
      const share = `${10 * tenth} %`.padStart(5)
      const { done, failed, tokens } = progress
      console.log(
        `${title.padEnd(21)} ${share}  ${done}/${total}  ${failed} failed  ${tokens} tokens  ${left(progress)}`.trimEnd(),
      )
    },
    stop() {},
  }
}

function left({ done, total, etaMs }) {
  return etaMs === undefined || done === total ? '' : `${(etaMs / 1000).toFixed(1)} s left`
}
