import assert from 'node:assert/strict';
import type { Reply, TestBroker } from '../../support/broker.js';

/** A browser without a screen: it keeps cookies and sends forms, also such as no page has. */
export class Visitor {
  readonly cookies = new Map<string, string>();

  constructor(readonly broker: TestBroker) {}

  /** Signs in with a link. */
  static async with(broker: TestBroker, link: string): Promise<Visitor> {
    const visitor = new Visitor(broker);
    const { status } = await visitor.signIn(link);
    assert.equal(status, 303);
    return visitor;
  }

  signIn(link: string): Promise<Reply> {
    const { pathname, hash } = new URL(link);
    return this.post(`${pathname}/sign-in`, { link: new URLSearchParams(hash.slice(1)).get('link') ?? '' });
  }

  get(path: string): Promise<Reply> {
    return this.#send('GET', path);
  }

  post(path: string, fields: Record<string, string>, headers: Record<string, string> = {}): Promise<Reply> {
    return this.#send('POST', path, new URLSearchParams(fields).toString(), headers);
  }

  /** Sends a form as the page would that has it: with its CSRF token. */
  async submit(page: string, path: string, fields: Record<string, string>): Promise<Reply> {
    const csrf = /name="csrf" value="([^"]+)"/.exec((await this.get(page)).text)?.[1];
    assert.ok(csrf, `${page} has no form`);
    return this.post(path, { csrf, ...fields });
  }

  async #send(
    method: string,
    path: string,
    body?: string,
    more: Record<string, string> = {},
  ): Promise<Reply> {
    const reply = await this.broker.send(method, path, {
      ...(body === undefined ? {} : { body }),
      headers: {
        authorization: undefined,
        'x-broker-api-version': undefined,
        ...(body === undefined ? {} : { 'content-type': 'application/x-www-form-urlencoded' }),
        ...(this.cookies.size > 0 && {
          cookie: [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; '),
        }),
        ...more,
      },
    });
    for (const line of reply.headers['set-cookie'] ?? []) {
      const [name = '', value = ''] = (line.split(';')[0] as string).split('=');
      if (value === '') {
        this.cookies.delete(name);
      } else {
        this.cookies.set(name, value);
      }
    }
    return reply;
  }
}
