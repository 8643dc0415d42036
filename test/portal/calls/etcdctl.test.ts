import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { availableEtcds, etcdctl } from '../../support/etcd-versions.js';
import type { Credentials } from '../../support/tenant.js';
import { PortalHouse, until } from '../support/portal.js';

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

    /** For what does not end by itself. @returns what was printed up to the text that was waited for */
    async function runUntil(words: string, expected: RegExp, then = async () => {}): Promise<string> {
      const { username, password } = credentials;
      const child = spawn(program, [`--user=${username}:${password}`, ...words.split(' ')], {
        env: { PATH: process.env.PATH, ETCDCTL_API: '3', ETCDCTL_ENDPOINTS: house.url },
      });
      let printed = '';
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        printed += text;
      });
      try {
        await then();
        await until(() => expected.test(printed), TIMEOUT_MS);
        return printed;
      } finally {
        child.kill('SIGKILL');
        await once(child, 'close');
      }
    }

    it('watches, elects and compacts', async () => {
      await says('put w/1 one', 'OK\n');
      const revision = Number(/"Revision" : (\d+)/.exec(await says('get w/1 -w fields', /Revision/))?.[1]);
      await says('put w/1 two', 'OK\n');
      const watched = await runUntil(`watch w/ --prefix --prev-kv --rev=${revision}`, /DELETE/, async () => {
        await says('put w/2 three', 'OK\n');
        await says('del w/1', '1\n');
      });
      assert.match(
        watched,
        /^PUT\n\n?w\/1\none\nPUT\nw\/1\none\nw\/1\ntwo\nPUT\n\n?w\/2\nthree\nDELETE\nw\/1\ntwo\nw\/1/,
      );
      await runUntil('elect e first', /^e\/[0-9a-f]+\nfirst\n/, async () => {
        await runUntil('elect -l e', /^e\/[0-9a-f]+\nfirst\n/);
      });
      await says(`compaction ${revision + 1}`, `compacted revision ${revision + 1}\n`);
      const { status, stderr } = await run(`get w/1 --rev=${revision}`);
      assert.notEqual(status, 0);
      assert.match(stderr, /required revision has been compacted/);
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
