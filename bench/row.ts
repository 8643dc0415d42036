/** One line of the table. */
export interface Row {
  what: string;
  /** What was measured, e.g. `9.1 ms`. */
  measured: string;
  /** What it is measured against, e.g. `6.4 ms`. */
  floor: string;
  /** How one stands to the other, e.g. `1.42 times`. */
  figure: string;
  reach: string;
  isReached: boolean;
}

export const ms = (value: number): string => `${value.toFixed(2)} ms`;
export const perSecond = (value: number): string => `${Math.round(value)}/s`;
export const times = (value: number): string => `${value.toFixed(2)} times`;
