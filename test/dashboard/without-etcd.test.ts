import assert from 'node:assert/strict';
import { whileEtcdIsFrozen } from '../support/cluster.js';
import { TestDeployment } from './support/deployment.js';
import { Visitor } from './support/visitor.js';

describe('The dashboard while etcd does not answer', () => {
  let deployment: TestDeployment;

  before(async () => {
    deployment = await TestDeployment.start('i');
  });
  after(() => deployment?.dispose());

  it('shows what was known last and says so; what it never read, and changes, have a page that says why not', async () => {
    const home = new URL(deployment.dashboardUrl).pathname;
    const visitor = await Visitor.with(deployment.broker, await deployment.link());
    const seen = [];
    for (const path of ['', '/metrics']) {
      const { status, text } = await visitor.get(`${home}${path}`);
      assert.equal(status, 200);
      assert.doesNotMatch(text, /etcd does not answer/);
      seen.push(text);
    }
    const csrf = /name="csrf" value="([^"]+)"/.exec(seen[0] as string)?.[1] ?? '';
    await whileEtcdIsFrozen(deployment.broker, async () => {
      for (const path of ['', '/metrics', '/metrics/series?range=30m']) {
        const startedAt = performance.now();
        const { status, text } = await visitor.get(`${home}${path}`);
        assert.equal(status, 200, path);
        if (path.includes('series')) {
          assert.ok(JSON.parse(text).known_at);
        } else {
          assert.ok(text.includes(deployment.id));
          assert.match(text, /etcd does not answer\. This is what was known at \d\d:\d\d:\d\d UTC\./);
        }
        assert.ok(path !== '' || ['web', 'shared', 'provision'].every((known) => text.includes(known)));
        assert.ok(performance.now() - startedAt < 5_000, path);
      }
      for (const reply of [
        await visitor.get(`${home}/keys`),
        await visitor.post(`${home}/settings/units`, { csrf, units: '2', max_units: '' }),
      ]) {
        assert.equal(reply.status, 503);
        assert.match(reply.text, /Not available/);
        assert.match(reply.text, /etcd/);
      }
    });
    assert.doesNotMatch((await visitor.get(home)).text, /etcd does not answer/);
  });
});
