import { PlatformAway } from './errors.js';

/** @throws PlatformAway unless the answer is a JSON object */
export async function jsonObject(answer: Response, whose: string): Promise<Record<string, unknown>> {
  let value: unknown;
  try {
    value = await answer.json();
  } catch {
    // The reason would quote the answer.
  }
  if (typeof value !== 'object' || value === null) {
    throw new PlatformAway(`${whose} did not answer with a JSON object.`);
  }
  return value as Record<string, unknown>;
}
