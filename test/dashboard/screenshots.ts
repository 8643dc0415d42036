// Makes the pictures of README.md and docs/dashboard.md: `npm run screenshots`. With a folder as its argument: pictures
// of every screen there, whole, light and dark, wide and on a phone.
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { TestBrowser } from '../support/browser.js';
import { TestDeployment } from './support/deployment.js';

const [, , everything] = process.argv;
const FOLDER = path.resolve(everything ?? path.join(import.meta.dirname, '../../../docs/images'));
const WIDE = { width: 1180, height: 820 };
const PHONE = { width: 390, height: 844 };
const SCREENS = {
  overview: '',
  metrics: '/metrics?range=24h',
  backups: '/backups',
  'key-spaces': '/keys',
  keys: '/keys?space=shared',
  key: `/keys?space=shared&key=${Buffer.from('config/feature/limits').toString('base64url')}`,
  settings: '/settings',
} as const;
const VIEWS = [
  { name: 'light', colorScheme: 'light', size: WIDE, shown: ['overview', 'metrics'] },
  { name: 'dark', colorScheme: 'dark', size: WIDE, shown: ['key'] },
  { name: 'phone', colorScheme: 'light', size: PHONE, shown: [] },
] as const;

const deployment = await TestDeployment.start('6d9c8b1e-0f41-4f7a-9c1d-2b5a7e3f0c11');
const browser = await TestBrowser.launch();
try {
  await deployment.fillUsage(25);
  await mkdir(FOLDER, { recursive: true });
  for (const { name, colorScheme, size, shown } of VIEWS) {
    const page = await browser.page();
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize(size);
    await page.goto(await deployment.link());
    await page.waitForURL(deployment.dashboardUrl);
    for (const [screen, place] of Object.entries(SCREENS)) {
      if (everything !== undefined || shown.some((each) => each === screen)) {
        await page.goto(`${deployment.dashboardUrl}${place}`);
        await page.waitForLoadState('networkidle');
        const file = path.join(FOLDER, `${screen}-${name}.png`);
        await page.screenshot({ path: file, fullPage: everything !== undefined });
        console.log(path.relative('.', file));
      }
    }
    await page.context().close();
  }
} finally {
  await browser.close();
  await deployment.dispose();
}
