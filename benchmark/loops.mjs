// Two ways to do the same thing again and again until time is up.

/** Keeps `width` of `act` under way. It gives how many things it did. */
export function atOnce(width, act) {
  return async (isOver) => {
    let done = 0
    const worker = async () => {
      while (!isOver()) {
        // Not `done += await act()`, which would add to what `done` was before the wait.
        const count = await act()
        done += count
      }
    }
    await Promise.all(Array.from({ length: width }, worker))
    return done
  }
}

/** One after the other, `stride` at a time between two looks at the clock. */
export function inTurn(act, stride = 1000) {
  return async (isOver) => {
    let done = 0
    while (!isOver()) {
      for (let index = 0; index < stride; index += 1) await act(done++)
    }
    return done
  }
}
