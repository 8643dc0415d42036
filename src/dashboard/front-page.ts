import type { Request, Response } from 'express';
import { framed } from './frame.js';
import { html } from './html.js';

/** GET /: tells a person who opens the broker's address what they have found. */
export function frontPage(publicUrl: () => string) {
  return (_request: Request, response: Response): void => {
    const page = framed({
      title: 'compose-etcd-broker',
      assets: `${publicUrl()}/dashboard/assets`,
      content: html`<section class="card narrow"><h1>A service broker for etcd</h1>
<dl class="facts"><dt>What this is</dt><dd>It offers etcd to a platform such as Cloud Foundry or Kubernetes.</dd>
<dt>For operators</dt><dd>Register this address with the platform (<code>cf create-service-broker</code>). <a href="${publicUrl()}/dashboard">All instances</a></dd>
<dt>For developers</dt><dd>Create a service with the platform; its dashboard address leads to its pages here.</dd></dl></section>`,
    });
    response.type('html').send(page);
  };
}

/** GET /favicon.ico, for which each browser asks: there is none. */
export function favicon(_request: Request, response: Response): void {
  response.setHeader('Cache-Control', 'public, max-age=86400');
  response.status(204).end();
}
