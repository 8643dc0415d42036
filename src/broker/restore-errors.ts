/** An instance's record is another's to change by now. */
export class Overtaken extends Error {
  override readonly name = 'Overtaken';
}

/** A backup can't be restored, and trying again changes nothing. The message says why, to users. */
export class RestoreImpossible extends Error {
  override readonly name = 'RestoreImpossible';
}
