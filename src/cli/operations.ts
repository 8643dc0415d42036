import type { Output } from './output.js';
import type { Tools } from './tools.js';

const MOST = 10_000;

/** `operations`: lists what is under way, since when, and whether its replica lives. */
export async function operations({ records }: Tools, output: Output): Promise<number> {
  const { operations: open, owners } = await records.openOperations(MOST);
  const rows = open.map(({ id, kind, started_at, instance_id, binding_id, owner }) => {
    const replica = owners.has(owner) ? 'at work' : 'gone, to be taken over';
    return { operation_id: id, kind, started_at, instance_id, binding_id, replica };
  });
  if (output.json) {
    output.line(JSON.stringify({ operations: rows }));
    return 0;
  }
  for (const { operation_id, kind, started_at, instance_id, binding_id, replica } of rows) {
    const where = binding_id === undefined ? instance_id : `${instance_id} / ${binding_id}`;
    output.line(`${operation_id}  ${kind}  since ${started_at}  ${where}  (replica ${replica})`);
  }
  output.line(
    rows.length === 0 ? 'No operations are under way.' : `${rows.length} operations are under way.`,
  );
  return 0;
}
