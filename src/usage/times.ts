/** Minutes, hours and days are counted from 1970, in UTC, by the wall clock of whoever counts. */
export const MINUTE_MS = 60_000;
export const MINUTES_AN_HOUR = 60;
export const HOURS_A_DAY = 24;
export const QUARTER_MINUTES = 15;
export const QUARTERS_A_DAY = 96;

export const minuteOf = (ms: number) => Math.floor(ms / MINUTE_MS);
export const hourOf = (ms: number) => Math.floor(minuteOf(ms) / MINUTES_AN_HOUR);
export const dayOfHour = (hour: number) => Math.floor(hour / HOURS_A_DAY);
