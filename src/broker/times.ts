/** How long things take and wait in the broker, all in milliseconds. */

/** A platform that accepts a 202 gets it when its operation has taken this long. */
export const ACCEPTED_AFTER_MS = 3_000;
/** A platform that doesn't is answered within this time, and no request is worked on for longer. */
export const ANSWER_WITHIN_MS = 8_500;
/** How often a request looks for the end of an operation that runs in another replica. */
export const POLL_MS = 100;

/** A step that failed is repeated after this pause, which doubles each time … */
export const FIRST_PAUSE_MS = 50;
/** … up to this one. */
export const LONGEST_PAUSE_MS = 2_000;
/** How long a removal waits for a task of the same binding to reach the end of its step. */
export const HOLD_MS = 1_000;

/** How often each replica looks for operations whose replica is gone. */
export const RECOVERY_MS = 1_000;
