import assert from 'node:assert/strict';
import { SignIn } from '../../../src/etcd/sign-in.js';
import { Code } from '../../../src/portal/calls/status.js';
import { AskFailed, ask } from '../../../src/portal/upstream/ask.js';
import type { Upstream } from '../../../src/portal/upstream/upstream.js';

const PATH = '/etcdserverpb.KV/Range';
const NOTHING = new Uint8Array(0);

const failsWith = (code: Code) => (error: unknown) =>
  error instanceof AskFailed && error.status.code === code;

describe('What the portal asks of its own', () => {
  /** No endpoint can be connected. */
  const upstream = {
    ready: undefined,
    place: () => Promise.reject(new Error('nobody answers')),
  } as unknown as Upstream;

  it('is not sent when it was given up before', async () => {
    let asked = 0;
    const place = () => {
      asked += 1;
      return Promise.reject(new Error('nobody answers'));
    };
    const asking = ask(
      { ...upstream, place } as unknown as Upstream,
      new SignIn(),
      PATH,
      NOTHING,
      AbortSignal.abort(),
    );
    await assert.rejects(asking, failsWith(Code.CANCELLED));
    assert.equal(asked, 0);
  });

  it('ends at once when it is given up', async () => {
    const gone = new AbortController();
    const startedAt = performance.now();
    const asking = ask(upstream, new SignIn(), PATH, NOTHING, gone.signal);
    setTimeout(() => gone.abort(), 20);
    await assert.rejects(asking, failsWith(Code.CANCELLED));
    assert.ok(performance.now() - startedAt < 1_000);
  });

  it('fails with what the way to etcd says when nobody answers in time', async () => {
    const asking = ask(upstream, new SignIn(), PATH, NOTHING, new AbortController().signal);
    await assert.rejects(asking, failsWith(Code.UNAVAILABLE));
  });
});
