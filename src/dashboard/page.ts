import type { Request, Response } from 'express';
import { deploymentName } from '../credentials/available-credentials.js';
import type { OsbContext } from '../osb/context.js';

const DEPLOYMENT_ID = /^[0-9a-f]{24}$/;

/** Where the page of a deployment is. */
export function dashboardUrl(publicUrl: string, deploymentId: string): string {
  return `${publicUrl}/dashboard/${deploymentId}`;
}

/**
 * A small page that names the deployment, its plan and its state. Anybody who knows the address may see it, so it
 * says nothing else.
 */
export function dashboard({ broker, catalog, service }: OsbContext) {
  return async (request: Request, response: Response): Promise<void> => {
    const id = String(request.params.deployment_id);
    const stored = DEPLOYMENT_ID.test(id) ? await broker.records.readInstanceOfDeployment(id) : undefined;
    if (stored === undefined) {
      response
        .status(404)
        .type('html')
        .send(page('No such deployment', [['Deployment', 'unknown']]));
      return;
    }
    const { instance_id, service_id, plan_id, state, created_at } = stored.value;
    const plan = catalog.findPlan(service_id, plan_id);
    const name = deploymentName(service.region, instance_id);
    const rows: [string, string][] = [
      ['Deployment', name],
      ['Deployment id', id],
      ['Type', 'etcd'],
      ['Plan', plan?.name ?? 'no longer offered'],
      ['State', state],
      ['Created', created_at],
    ];
    response.type('html').send(page(name, rows));
  };
}

function page(title: string, rows: readonly (readonly [string, string])[]): string {
  const list = rows
    .map(([term, text]) => `<dt>${escapeHtml(term)}</dt><dd>${escapeHtml(text)}</dd>`)
    .join('');
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${escapeHtml(title)}</title></head><body><main><h1>${escapeHtml(title)}</h1><dl>${list}</dl></main></body></html>\n`;
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
