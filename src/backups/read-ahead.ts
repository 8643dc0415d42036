/** Asks for the next item while the one before it is worked on, so that both sides work at the same time. */
export async function* readAhead<T>(items: AsyncIterable<T>): AsyncGenerator<T> {
  const iterator = items[Symbol.asyncIterator]();
  const ask = () => {
    const next = iterator.next();
    next.catch(() => undefined); // it is told when it is waited for
    return next;
  };
  let next = ask();
  try {
    for (;;) {
      const { value, done } = await next;
      if (done) {
        return;
      }
      next = ask();
      yield value;
    }
  } finally {
    await iterator.return?.();
  }
}
