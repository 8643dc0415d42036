import { type AssetName, assetFile } from './assets.js';
import { type Html, html } from './html.js';
import { csrfToken, type Session } from './session.js';

/** The screens, in the order of the navigation. The first stands at the dashboard's own address. */
export const SCREENS = [
  { path: '', name: 'Overview', permission: 'read' },
  { path: 'metrics', name: 'Metrics', permission: 'read' },
  { path: 'backups', name: 'Backups', permission: 'read' },
  { path: 'keys', name: 'Keys', permission: 'manage' },
  { path: 'settings', name: 'Settings', permission: 'manage' },
] as const;
export type ScreenPath = (typeof SCREENS)[number]['path'];

export interface Notice {
  kind: 'success' | 'problem' | 'stale';
  text: Html | string;
}

export interface Frame {
  title: string;
  /** The address of the assets' folder. */
  assets: string;
  notices?: readonly Notice[];
  styles?: readonly AssetName[];
  scripts?: readonly AssetName[];
  content: Html;
  /** Absent where nobody is signed in. */
  visit?: { base: string; session: Session; screen: ScreenPath; subtitle: string };
}

/** A whole page. */
export function framed({
  title,
  assets,
  notices = [],
  styles = [],
  scripts = [],
  content,
  visit,
}: Frame): string {
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
${(['style', ...styles] as const).map((name) => html`<link rel="stylesheet" href="${assets}/${assetFile(name)}">\n`)}
${(['script', ...scripts] as const).map((name) => html`<script defer src="${assets}/${assetFile(name)}"></script>\n`)}
</head>
<body>
<a class="skip" href="#content">Skip to the content</a>
<header class="top">
<div class="bar">
<div class="brand">${MARK}<div><strong>${title}</strong>${visit && html`<span>${visit.subtitle}</span>`}</div></div>
${visit && signOut(visit.base, visit.session)}
</div>
${visit && navigation(visit.base, visit.session, visit.screen)}
</header>
<main id="content" tabindex="-1">
${notices.map(({ kind, text }) => html`<p class="notice ${kind}" role="${kind === 'problem' ? 'alert' : 'status'}">${text}</p>`)}
${content}
</main>
</body>
</html>
`;
  return page.text;
}

const MARK = html`<svg class="mark" viewBox="0 0 64 64" width="32" height="32" aria-hidden="true"><rect width="64" height="64" rx="14"/><path d="M32 15 49 45H15Z"/><circle cx="32" cy="15" r="6"/><circle cx="15" cy="45" r="6"/><circle cx="49" cy="45" r="6"/></svg>`;

function navigation(base: string, session: Session, current: ScreenPath): Html {
  const open = SCREENS.filter(({ permission }) => permission === 'read' || session.permission === 'manage');
  return html`<nav class="screens" aria-label="Screens"><ul>
${open.map(({ path, name }) => html`<li><a href="${addressOf(base, path)}"${path === current && html` aria-current="page"`}>${name}</a></li>`)}
</ul></nav>`;
}

function signOut(base: string, session: Session): Html {
  return html`<form method="post" action="${base}/sign-out" class="who"><span title="You are signed in as">${session.user}</span>${csrfField(session)}<button class="quiet">Sign out</button></form>`;
}

export function addressOf(base: string, path: string): string {
  return path === '' ? base : `${base}/${path}`;
}

/** The hidden field that every form of a session has. */
export function csrfField(session: Pick<Session, 'id'>): Html {
  return html`<input type="hidden" name="csrf" value="${csrfToken(session)}">`;
}

/** Bytes for people, in powers of 1,024. */
export function bytes(count: number): string {
  const units = ['B', 'KB', 'MB', 'GB', 'TB'];
  let value = count;
  let unit = 0;
  while (value >= 1_024 && unit < units.length - 1) {
    value /= 1_024;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

export function number(count: number): string {
  return count.toLocaleString('en');
}

/** A moment, in UTC; a script shows it in the browser's time. */
export function moment(iso: string | undefined): Html {
  if (iso === undefined) {
    return html`–`;
  }
  return html`<time datetime="${iso}">${iso.slice(0, 16).replace('T', ' ')} UTC</time>`;
}

export function empty(text: Html | string): Html {
  return html`<p class="empty">${text}</p>`;
}
