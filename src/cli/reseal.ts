import { reseal as resealAll } from '../broker/checkup/reseal.js';
import type { Output } from './output.js';
import type { Tools } from './tools.js';

/**
 * `reseal`: seals every record anew under the newest encryption key.
 * @returns the exit code: 1 when a record could not be sealed anew
 */
export async function reseal(tools: Tools, output: Output): Promise<number> {
  const outcome = await resealAll(tools);
  if (output.json) {
    output.line(JSON.stringify({ key: tools.seals.newestKeyId, ...outcome }));
  } else {
    for (const { instance_id, binding_id, reason } of outcome.failed) {
      output.line(`NOT sealed anew: ${instance_id} / ${binding_id}: ${reason}`);
    }
    output.line(
      `${outcome.resealed} records sealed anew under the key ${tools.seals.newestKeyId}, ${outcome.unchanged} were already, ${outcome.failed.length} could not be.`,
    );
  }
  return outcome.failed.length === 0 ? 0 : 1;
}
