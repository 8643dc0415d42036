import type { Request, Response } from 'express';
import { page } from './html.js';

const FRONT_PAGE = page('compose-etcd-broker', [
  ['What this is', 'A service broker: it offers etcd to a platform such as Cloud Foundry or Kubernetes.'],
  ['For operators', 'Register this address with the platform (cf create-service-broker).'],
  ['For developers', 'Create a service with the platform; its dashboard address leads to its page here.'],
]);

/** GET /: tells a person who opens the broker's address what they have found. */
export function frontPage(_request: Request, response: Response): void {
  response.type('html').send(FRONT_PAGE);
}

/** GET /favicon.ico, for which each browser asks: there is none. */
export function favicon(_request: Request, response: Response): void {
  response.setHeader('Cache-Control', 'public, max-age=86400');
  response.status(204).end();
}
