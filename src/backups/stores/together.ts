/**
 * Gathers pieces until they have so many bytes together, since small ones cost as much as large ones to write. Only the
 * last group may be shorter.
 * @throws the signal's reason
 */
export async function* together(
  pieces: AsyncIterable<Uint8Array>,
  bytes: number,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array[]> {
  let waiting: Uint8Array[] = [];
  let length = 0;
  for await (const piece of pieces) {
    signal?.throwIfAborted();
    waiting.push(piece);
    length += piece.length;
    if (length >= bytes) {
      yield waiting;
      [waiting, length] = [[], 0];
    }
  }
  if (waiting.length > 0) {
    yield waiting;
  }
}
