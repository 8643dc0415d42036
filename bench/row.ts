import { median } from './statistics.js';

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
  /** How far the floor's own figures lie apart (see {@link spread}); absent where the floor is one figure. */
  floorSpread?: number;
}

/** With a floor that varies more than this, the machine was too busy for the figure to mean anything. */
export const STEADY = 0.35;

/** The distance between the quartiles, as a part of the median: 0 when all are equal. */
export function spread(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (part: number) => sorted[Math.floor(part * (sorted.length - 1))] as number;
  return (at(0.75) - at(0.25)) / median(values);
}

export const ms = (value: number): string => `${value.toFixed(2)} ms`;
export const perSecond = (value: number): string => `${Math.round(value)}/s`;
export const times = (value: number): string => `${value.toFixed(2)} times`;
