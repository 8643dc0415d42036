import type { Request, Response } from 'express';
import { LRUCache } from 'lru-cache';
import { deploymentName } from '../credentials/available-credentials.js';
import type { OsbContext } from '../osb/context.js';
import { HttpError } from '../osb/http/errors.js';
import { page } from './html.js';

const DEPLOYMENT_ID = /^[0-9a-f]{24}$/;
/** Anybody may ask for pages, so etcd is read for them at most so often. */
const FRESH_MS = 2_000;
const MOST_PAGES = 1_000;
const MOST_READS_A_SECOND = 20;

/** Where the page of a deployment is. */
export function dashboardUrl(publicUrl: string, deploymentId: string): string {
  return `${publicUrl}/dashboard/${deploymentId}`;
}

interface Page {
  status: number;
  html: string;
}

const UNKNOWN: Page = { status: 404, html: page('No such deployment', [['Deployment', 'unknown']]) };

/**
 * A small page that names the deployment, its plan and its state. Anybody who knows the address may see it, so it
 * says nothing else.
 */
export function dashboard(context: OsbContext) {
  const takeRead = readsASecond(MOST_READS_A_SECOND);
  // Those who ask for the same page at once share one read.
  const pages = new LRUCache<string, Page>({
    max: MOST_PAGES,
    ttl: FRESH_MS,
    ttlResolution: 0,
    fetchMethod: (id) => {
      takeRead();
      return render(context, id);
    },
  });
  return async (request: Request, response: Response): Promise<void> => {
    const id = String(request.params.deployment_id);
    const { status, html } = DEPLOYMENT_ID.test(id) ? await pages.forceFetch(id) : UNKNOWN;
    response.status(status).type('html').send(html);
  };
}

async function render({ broker, catalog, service }: OsbContext, deploymentId: string): Promise<Page> {
  const stored = await broker.records.readInstanceOfDeployment(deploymentId);
  if (stored === undefined) {
    return UNKNOWN;
  }
  const { instance_id, service_id, plan_id, state, created_at } = stored.value;
  const name = deploymentName(service.region, instance_id);
  const html = page(name, [
    ['Deployment', name],
    ['Deployment id', deploymentId],
    ['Type', 'etcd'],
    ['Plan', catalog.findPlan(service_id, plan_id)?.name ?? 'no longer offered'],
    ['State', state],
    ['Created', created_at],
  ]);
  return { status: 200, html };
}

/** @returns a function that throws a 503 when it is called more than so many times in a second */
function readsASecond(most: number): () => void {
  let since = 0;
  let count = 0;
  return () => {
    const now = performance.now();
    if (now - since >= 1_000) {
      since = now;
      count = 0;
    }
    count += 1;
    if (count > most) {
      throw new HttpError(503, 'Too many dashboard pages are asked for. Try again in a second.', {
        'Retry-After': '1',
      });
    }
  };
}
