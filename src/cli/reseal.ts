import { reseal as resealAll } from '../broker/checkup/reseal.js';
import { resealPortals } from '../portal/reseal.js';
import type { Output } from './output.js';
import type { Tools } from './tools.js';

/**
 * `reseal`: seals every record anew under the newest encryption key, and the value by which keys are checked at a
 * start. Where records can't be opened, that value is changed only on the operator's word: it says that their key is
 * lost.
 * @returns the exit code: 1 when a record could not be sealed anew
 */
export async function reseal(tools: Tools, output: Output, options: { yes: boolean }): Promise<number> {
  const { seals, keyCheck } = tools;
  const outcome = await resealAll(tools);
  outcome.malformed.push(...(await resealPortals(tools.cluster.client, seals)));
  const lost = outcome.failed.length + outcome.malformed.length;
  if (!output.json) {
    for (const { instance_id, binding_id, reason } of outcome.failed) {
      output.line(`NOT sealed anew: ${instance_id} / ${binding_id}: ${reason}`);
    }
    for (const { key, reason } of outcome.malformed) {
      output.line(`NOT sealed anew: ${key}: ${reason}`);
    }
    output.line(
      `${outcome.resealed} records sealed anew under the key ${seals.newestKeyId}, ${outcome.unchanged} were already, ${lost} could not be.`,
    );
  }
  const mayRewrite =
    lost === 0 ||
    options.yes ||
    (await keyCheck.isOpenedBy(seals)) ||
    (await output.confirm(
      `${lost} records are sealed under a key that is not set. Is it lost for good, and are brokers to start without it?`,
    ));
  if (mayRewrite) {
    await keyCheck.rewrite(seals);
  }
  if (output.json) {
    output.line(JSON.stringify({ key: seals.newestKeyId, ...outcome }));
  }
  return lost === 0 ? 0 : 1;
}
