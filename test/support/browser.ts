import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Browser, chromium, type Page } from 'playwright-core';
import { isExecutable, withTemporaryFolder } from '../../src/embedded/etcd-cache.js';
import { runCommand } from '../../src/embedded/run-command.js';

const PROJECT = path.resolve(import.meta.dirname, '../../..');
const CACHE = path.join(PROJECT, '.cache', 'chromium');
const PACKAGE = path.join(PROJECT, 'node_modules', '@sparticuz', 'chromium');
const FONTS_FILE = 'fonts.conf';
const UNPACK_TIMEOUT_MS = 120_000;
const LAUNCH_TIMEOUT_MS = 30_000;
const ACTION_TIMEOUT_MS = 10_000;
const INSTALLED = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
];
const FLAGS = [
  '--no-sandbox', // root can't have one; the tests' own pages are all that is looked at
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-dev-shm-usage',
];

/** Whether a test that needs a browser fails without one, as it does in CI. */
const isRequired = (): boolean => Boolean(process.env.REQUIRE_BROWSER) || process.env.CI === 'true';

/** A Chromium without a window, with a profile of its own that ends with it. */
export class TestBrowser {
  private constructor(readonly browser: Browser) {}

  /**
   * Starts a browser, in a `before` hook: `browser = await TestBrowser.start(this)`. Where none can be had the tests
   * of the suite are skipped, and it is said why; with CI=true or REQUIRE_BROWSER they fail.
   */
  static async start(suite: Mocha.Context): Promise<TestBrowser> {
    suite.timeout(UNPACK_TIMEOUT_MS + LAUNCH_TIMEOUT_MS); // the first time it is unpacked
    try {
      return await TestBrowser.launch();
    } catch (error) {
      if (isRequired()) {
        throw error;
      }
      console.log(`Tests in a browser are skipped: ${(error as Error).message.split('\n')[0]}`);
      return suite.skip();
    }
  }

  /** @throws Error when there is none */
  static async launch(): Promise<TestBrowser> {
    const { executablePath, env } = await findChromium();
    return new TestBrowser(
      await chromium.launch({
        executablePath,
        args: FLAGS,
        env: { ...(process.env as Record<string, string>), ...env },
        timeout: LAUNCH_TIMEOUT_MS,
        // The tests' runner ends the browser itself.
        handleSIGINT: false,
        handleSIGTERM: false,
        handleSIGHUP: false,
      }),
    );
  }

  /**
   * An empty page that knows nothing of others: no cookies, no storage.
   * @param problems gets what the page complains about: errors of scripts, what its policy refuses
   */
  async page(problems: string[] = []): Promise<Page> {
    const context = await this.browser.newContext({ locale: 'en-US' });
    context.setDefaultTimeout(ACTION_TIMEOUT_MS);
    const page = await context.newPage();
    page.on('pageerror', (error) => problems.push(error.message));
    page.on('console', (message) => {
      if (message.type() === 'error') {
        problems.push(message.text());
      }
    });
    return page;
  }

  async close(): Promise<void> {
    await this.browser.close();
  }
}

interface Chromium {
  executablePath: string;
  env: Record<string, string>;
}

/**
 * `CHROMIUM_PATH`, one that is installed, or the one that the package `@sparticuz/chromium` carries, which is unpacked
 * into `.cache/chromium/<version>/` once.
 * @throws Error with one line when there is none
 */
async function findChromium(): Promise<Chromium> {
  const { CHROMIUM_PATH } = process.env;
  for (const file of CHROMIUM_PATH ? [CHROMIUM_PATH] : INSTALLED) {
    if (await isExecutable(file)) {
      return { executablePath: file, env: {} };
    }
  }
  if (CHROMIUM_PATH) {
    throw new Error(`CHROMIUM_PATH names no program: ${CHROMIUM_PATH}`);
  }
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new Error('No browser is found: install Chromium, or set CHROMIUM_PATH to its program.');
  }
  const { version } = JSON.parse(await readFile(path.join(PACKAGE, 'package.json'), 'utf8'));
  const folder = path.join(CACHE, version);
  const executablePath = path.join(folder, 'chromium');
  if (!(await isExecutable(executablePath))) {
    await unpack(folder);
  }
  // The libraries that it needs beyond the C library come with it, and serve where the system has none.
  return {
    executablePath,
    env: {
      LD_LIBRARY_PATH: path.join(folder, 'al2023', 'lib'),
      FONTCONFIG_FILE: path.join(folder, FONTS_FILE),
    },
  };
}

/** In a process of its own, since the package unpacks into the folder for temporary files, and in one step. */
async function unpack(folder: string): Promise<void> {
  console.log(`Unpacking Chromium into ${path.relative(PROJECT, folder)}`);
  await withTemporaryFolder(CACHE, async (temporary) => {
    const target = path.join(temporary, 'unpacked');
    await mkdir(target);
    const entry = pathToFileURL(path.join(PACKAGE, 'build', 'esm', 'index.js')).href;
    const script = `const { default: chromium } = await import(${JSON.stringify(entry)}); await chromium.executablePath();`;
    await runCommand(process.execPath, ['--input-type=module', '--eval', script], {
      timeoutMs: UNPACK_TIMEOUT_MS,
      // With its variable the package unpacks the libraries too.
      env: { PATH: process.env.PATH, TMPDIR: target, AWS_EXECUTION_ENV: 'AWS_Lambda_nodejs22.x' },
    });
    // The package's own file names folders of the machines that it is made for.
    const dirs = [path.join(folder, 'fonts'), '/usr/share/fonts'].map((dir) => `<dir>${dir}</dir>`);
    const cache = `<cachedir>${path.join(folder, 'fonts-cache')}</cachedir>`;
    await writeFile(path.join(target, FONTS_FILE), `<fontconfig>${dirs.join('')}${cache}</fontconfig>\n`);
    await rename(target, folder).catch(async (error: Error) => {
      // A concurrent run was quicker.
      if (!(await isExecutable(path.join(folder, 'chromium')))) {
        throw error;
      }
    });
  });
}
