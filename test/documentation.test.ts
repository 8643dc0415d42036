import assert from 'node:assert/strict';
import { access, readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { PROJECT } from './deploy/support/folders.js';

const LINK = /\]\(([^)\s]+)\)/g;

/** As the web pages of repositories name a heading. */
function anchor(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
    .replaceAll(' ', '-');
}

async function documents(): Promise<string[]> {
  const top = (await readdir(PROJECT)).filter((name) => name.endsWith('.md'));
  const docs = (await readdir(path.join(PROJECT, 'docs'))).map((name) => path.join('docs', name));
  return [...top, ...docs].filter((name) => name.endsWith('.md'));
}

describe('The documents', () => {
  it('have links that lead somewhere', async () => {
    for (const name of await documents()) {
      const text = await readFile(path.join(PROJECT, name), 'utf8');
      for (const [, target = ''] of text.matchAll(LINK)) {
        if (/^[a-z]+:/.test(target)) {
          continue;
        }
        const [file = '', fragment] = target.split('#');
        const linked = file === '' ? name : path.join(path.dirname(name), file);
        await assert.doesNotReject(access(path.join(PROJECT, linked)), `${name}: ${target}`);
        if (fragment !== undefined) {
          const headings = (await readFile(path.join(PROJECT, linked), 'utf8')).match(/^#+ .*$/gm) ?? [];
          const anchors = headings.map((heading) => anchor(heading.replace(/^#+ /, '')));
          assert.ok(anchors.includes(fragment), `${name}: ${target}`);
        }
      }
    }
  });

  it('name every file that is there for people to read or to deploy', async () => {
    const texts = await Promise.all(
      (await documents()).map((name) => readFile(path.join(PROJECT, name), 'utf8')),
    );
    const all = texts.join('\n');
    for (const name of [
      'CONTRIBUTING.md',
      'CHANGELOG.md',
      'SECURITY.md',
      'vars.example.yml',
      'manifest.yml',
    ]) {
      assert.ok(all.includes(`${name})`), name);
    }
    const docs = await readdir(path.join(PROJECT, 'docs'));
    for (const name of docs.filter((each) => each.endsWith('.md'))) {
      assert.ok(all.includes(`${name})`) || all.includes(`${name}#`), name);
    }
  });

  it('say of each alert what it means', async () => {
    const rules = path.join(PROJECT, 'deploy/prometheus/alerts.yml');
    const text = await readFile(rules, 'utf8');
    const alerts = [...text.matchAll(/^\s*-?\s*alert: *(\S+)/gm)].map(([, name]) => name);
    const guide = await readFile(path.join(PROJECT, 'docs/operating.md'), 'utf8');
    const [, section = ''] = guide.split('\n## Alerts\n');
    const headings = [...section.matchAll(/^### (\S+)$/gm)].map(([, name]) => name);
    assert.deepEqual(headings.sort(), alerts.sort());
  });
});
