import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { availableEtcds, etcdctl } from '../../support/etcd-versions.js';
import type { Credentials } from '../../support/tenant.js';
import { PortalHouse } from '../support/portal.js';

const TIMEOUT_MS = 15_000;

for (const { version, path } of await availableEtcds()) {
  describe(`etcdctl through a portal, etcd ${version}`, () => {
    let house: PortalHouse;
    let program: string;
    let credentials: Credentials;

    before(async () => {
      program = await etcdctl();
      house = await PortalHouse.start({ ETCD_BINARY: path });
      credentials = await house.bind('i', 'b');
    });

    after(() => house?.stop());

    /** @returns what it printed, and on which status it ended */
    function run(words: string, input = ''): Promise<{ status: unknown; stdout: string; stderr: string }> {
      const { username, password } = credentials;
      const env = {
        PATH: process.env.PATH,
        ETCDCTL_API: '3',
        ETCDCTL_ENDPOINTS: house.url,
        ETCDCTL_USER: `${username}:${password}`,
      };
      return new Promise((resolve) => {
        const child = execFile(
          program,
          words.split(' '),
          { env, timeout: TIMEOUT_MS },
          (error, stdout, stderr) => resolve({ status: error === null ? 0 : error.code, stdout, stderr }),
        );
        child.stdin?.end(input);
      });
    }
    const says = async (words: string, expected: RegExp | string, input?: string): Promise<string> => {
      const { status, stdout, stderr } = await run(words, input);
      assert.equal(status, 0, `${words}: ${stderr}`);
      if (typeof expected === 'string') {
        assert.equal(stdout, expected, words);
      } else {
        assert.match(stdout, expected, words);
      }
      return stdout;
    };

    it('does what a tenant may', async () => {
      await says('put a 1', 'OK\n');
      await says('put a 2 --prev-kv', 'OK\na\n1\n');
      await says('put b 3', 'OK\n');
      await says('get a', 'a\n2\n');
      await says('get --from-key a --keys-only', /^a\s+b\s+$/);
      await says('get a c --order=DESCEND --sort-by=KEY --limit=1', 'b\n3\n');
      await says('get a z -w fields', /"Count" : 2/);
      await says('txn', 'SUCCESS\n\nOK\n\na\n2\n', 'value("a") = "2"\n\nput c 4\nget a\n\nput c 5\n\n');
      await says('del c --prev-kv', '1\nc\n4\n');
      const lease = /lease (\w+) granted/.exec(
        await says('lease grant 100', /granted with TTL\(100s\)/),
      )?.[1];
      await says(`put d 5 --lease=${lease}`, 'OK\n');
      await says(`lease timetolive ${lease} --keys`, /granted with TTL\(100s\).*attached keys\(\[d\]\)/);
      await says(`lease keep-alive --once ${lease}`, /keepalived with TTL\(100\)/);
      await says('lease list', new RegExp(`found 1 leases\\s+${lease}`));
      await says(`lease revoke ${lease}`, /revoked/);
      await says('get d', '');
      await says('lock l echo held', /held/);
      await says('member list', new RegExp(house.url));
      assert.equal((await run('endpoint health')).status, 0);
      await says('endpoint status', new RegExp(version));
    });

    it('is refused what a tenant may not', async () => {
      for (const words of [
        'user list',
        'role list',
        'user add x:y',
        'auth disable',
        'defrag',
        'move-leader 1',
      ]) {
        const { status, stderr } = await run(words);
        assert.notEqual(status, 0, words);
        assert.match(stderr, /permission denied|no leader endpoint/i, words);
      }
      await says('get a', 'a\n2\n');
    });
  });
}
