import type { KeySpaceCount, KeyVersion, TreeLevel } from '../../administration/key-browser.js';
import { bytes, csrfField, empty, number } from '../frame.js';
import { type Html, html } from '../html.js';
import type { Session } from '../session.js';
import { type Form, hexDump, indentedJson, isText, oneLine } from '../values.js';
import { code } from './overview.js';

/** So many bytes of a value are shown, and so many may one have that is written here. */
export const LONGEST_SHOWN = 32_768;
const LONGEST_DUMP = 4_096;
/** So many bytes of a value are shown in one line. */
const PREVIEW = 120;

/** Where on the screen a person is. */
export interface KeyPlaceOnScreen {
  /** The address of the screen. */
  screen: string;
  session: Session;
  keySpace: string;
}

/** The address of a place among the keys. */
export function keysAddress(
  screen: string,
  query: { space?: string; folder?: Buffer; key?: Buffer; from?: Buffer; as?: Form },
): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value.length > 0) {
      search.set(name, typeof value === 'string' ? value : value.toString('base64url'));
    }
  }
  return `${screen}?${search}`;
}

/** The key spaces of an instance. */
export function keySpacesScreen(screen: string, keySpaces: readonly KeySpaceCount[]): Html {
  return html`<section class="card" aria-labelledby="keys"><h1 id="keys">Keys</h1>
<p>Each binding has a key space of its own, unless it was made with the parameter <code>key_space</code>.</p>
${
  keySpaces.length === 0
    ? empty('No key space holds a key yet.')
    : html`<ul class="tree">${keySpaces.map(({ name, keys }) => html`<li><a href="${keysAddress(screen, { space: name })}">${name}<span class="hint"> ${number(keys)} ${keys === 1 ? 'key' : 'keys'}</span></a></li>`)}</ul>`
}</section>`;
}

/** One level of a key space. */
export function levelScreen(place: KeyPlaceOnScreen, folder: Buffer, level: TreeLevel): Html {
  const { screen, keySpace } = place;
  const space = keySpace;
  return html`<section class="card" aria-labelledby="keys"><h1 id="keys">Keys</h1>${crumbs(place, folder)}
${
  level.entries.length === 0
    ? empty('There are no keys here.')
    : html`<ul class="tree">${level.entries.map(({ kind, key }) => {
        const name = oneLine(key.subarray(folder.length));
        return kind === 'folder'
          ? html`<li><a class="folder" href="${keysAddress(screen, { space, folder: key })}">${name}</a></li>`
          : html`<li><a href="${keysAddress(screen, { space, key })}">${name}</a></li>`;
      })}</ul>`
}
${level.next !== undefined && html`<p><a class="button" href="${keysAddress(screen, { space, folder, from: level.next })}">More</a></p>`}
</section>
${live(keysAddress(`${screen}/live`, { space, folder }))}
<section class="card" aria-labelledby="new-key"><h2 id="new-key">New key</h2>
<form method="post" action="${keysAddress(`${screen}/put`, { space, folder })}">${csrfField(place.session)}<input type="hidden" name="seen" value="0">
<label for="name">Key</label><input id="name" name="name" class="wide" required maxlength="4096" autocomplete="off" spellcheck="false" value="${isText(folder) ? folder.toString('utf8') : ''}">
<label for="value">Value</label><textarea id="value" name="value" spellcheck="false" maxlength="${LONGEST_SHOWN}">
</textarea><button>Write</button></form></section>`;
}

/** One key: its value, its history, and what can be done with it. */
export function keyScreen(
  place: KeyPlaceOnScreen,
  key: Buffer,
  form: Form | undefined,
  current: KeyVersion | undefined,
  history: readonly KeyVersion[],
): Html {
  const { screen, keySpace } = place;
  const at = { space: keySpace, key };
  if (current === undefined) {
    return html`<section class="card"><h1>Keys</h1>${crumbs(place, key)}${empty('There is no such key any more.')}</section>`;
  }
  const shown = form ?? usualForm(current.value);
  const forms: [Form, string][] = [
    ['text', 'Text'],
    ['json', 'JSON'],
    ['hex', 'Hex'],
  ];
  return html`<section class="card" aria-labelledby="key"><h1 id="key">${oneLine(key)}</h1>${crumbs(place, key)}
<dl class="facts"><dt>Size</dt><dd>${bytes(current.size)}</dd><dt>Revision</dt><dd>${current.revision}</dd><dt>Version</dt><dd>${current.version}</dd><dt>Lease</dt><dd>${current.lease === '0' ? 'none' : html`yes: the key goes when its application does`}</dd></dl>
<div class="row"><h2>Value</h2><ul class="ranges" aria-label="Shown as">${forms.map(([name, label]) => html`<li><a href="${keysAddress(screen, { ...at, as: name })}"${name === shown && html` aria-current="true"`}>${label}</a></li>`)}</ul></div>
${valueShown(current, shown)}
</section>
${live(keysAddress(`${screen}/live`, at))}
<section class="card" aria-labelledby="history"><h2 id="history">History</h2>
<div class="scroll" tabindex="0" role="region" aria-labelledby="history"><table><thead><tr><th scope="col">Revision</th><th scope="col">Version</th><th scope="col">Size</th><th scope="col">Value</th></tr></thead><tbody>
${history.map(({ revision, version, size, value }) => html`<tr><td>${revision}</td><td>${version}</td><td>${bytes(size)}</td><td><code>${oneLine(value, PREVIEW)}</code></td></tr>`)}
</tbody></table></div><p class="hint">What etcd still has: older versions are compacted.</p></section>
${change(place, key, current)}`;
}

/** Asks before a change is made. @param next absent where the key is to be deleted */
export function sureScreen(
  place: KeyPlaceOnScreen,
  key: Buffer,
  current: KeyVersion | undefined,
  next: Buffer | undefined,
): Html {
  const { screen, keySpace, session } = place;
  const at = { space: keySpace, key };
  const isDeletion = next === undefined;
  return html`<section class="card" aria-labelledby="sure"><h1 id="sure">${isDeletion ? 'Delete this key?' : current === undefined ? 'Write this new key?' : 'Overwrite this key?'}</h1>
<p>Applications of this instance see it at once. It can't be taken back here.</p>
<h2>Key</h2>${code(oneLine(key))}
${current !== undefined && html`<h2>Now</h2>${code(oneLine(current.value, PREVIEW * 8))}`}
${!isDeletion && html`<h2>Then</h2>${code(oneLine(next, PREVIEW * 8))}`}
<form method="post" action="${keysAddress(`${screen}/${isDeletion ? 'delete' : 'put'}`, at)}">${csrfField(session)}
<input type="hidden" name="seen" value="${current?.revision ?? '0'}"><input type="hidden" name="sure" value="yes">
${!isDeletion && html`<input type="hidden" name="as" value="hex"><input type="hidden" name="value" value="${next.toString('hex')}">`}
<div class="inline"><button class="${isDeletion ? 'danger' : 'primary'}">${isDeletion ? 'Delete' : 'Write'}</button><a href="${keysAddress(screen, current === undefined ? { space: keySpace } : at)}">Cancel</a></div></form></section>`;
}

function usualForm(value: Buffer): Form {
  if (!isText(value)) {
    return 'hex';
  }
  return /^\s*[[{]/.test(value.toString('utf8')) && indentedJson(value) !== undefined ? 'json' : 'text';
}

function valueShown({ value, size }: KeyVersion, form: Form): Html {
  const most = form === 'hex' ? LONGEST_DUMP : LONGEST_SHOWN;
  const part = value.subarray(0, most);
  const cut =
    size > part.length && html`<p class="hint">The first ${bytes(part.length)} of ${bytes(size)}.</p>`;
  if (size === 0) {
    return empty('The value is empty.');
  }
  if (form === 'hex') {
    return html`${code(hexDump(part))}${cut}`;
  }
  const json = form === 'json' ? indentedJson(part) : undefined;
  if (form === 'json' && json === undefined) {
    return html`<p class="hint">${size > most ? 'The value is too long to be shown as JSON.' : 'The value is not JSON.'}</p>${code(textOf(part))}${cut}`;
  }
  return html`${code(json ?? textOf(part))}${cut}`;
}

/** Lines stay lines. */
function textOf(value: Buffer): string {
  return isText(value) ? value.toString('utf8') : oneLine(value);
}

function crumbs({ screen, keySpace }: KeyPlaceOnScreen, name: Buffer): Html {
  const steps: Html[] = [];
  let from = 0;
  for (
    let slash = name.indexOf('/');
    slash >= 0 && slash < name.length - 1;
    slash = name.indexOf('/', from)
  ) {
    const folder = name.subarray(0, slash + 1);
    steps.push(
      html`<a href="${keysAddress(screen, { space: keySpace, folder })}">${oneLine(name.subarray(from, slash + 1))}</a>`,
    );
    from = slash + 1;
  }
  return html`<nav class="crumbs" aria-label="Place"><a href="${screen}">Key spaces</a> › <a href="${keysAddress(screen, { space: keySpace })}">${keySpace}</a>${(steps.length > 0 || from < name.length) && ' › '}${steps}${oneLine(name.subarray(from))}</nav>`;
}

/** Needs a script, which enables it. */
function live(source: string): Html {
  return html`<section class="card" aria-labelledby="live" data-live="${source}"><div class="row"><h2 id="live">Live</h2><button type="button" aria-pressed="false" disabled>Watch</button></div><p class="hint" role="status">What applications write appears here while this page is open.</p><ol class="live" reversed tabindex="0" aria-label="Changes"></ol></section>`;
}

function change({ screen, keySpace, session }: KeyPlaceOnScreen, key: Buffer, current: KeyVersion): Html {
  const at = { space: keySpace, key };
  const asText = isText(current.value);
  const text = asText
    ? current.value.toString('utf8')
    : current.value.toString('hex').replace(/(..)(?=.)/g, '$1 ');
  return html`<section class="card" aria-labelledby="change"><h2 id="change">Change</h2>
${
  current.size > LONGEST_SHOWN
    ? html`<p class="hint">A value of this size is written by applications, not here.</p>`
    : html`<form method="post" action="${keysAddress(`${screen}/put`, at)}">${csrfField(session)}<input type="hidden" name="seen" value="${current.revision}"><input type="hidden" name="as" value="${asText ? 'text' : 'hex'}">
<label for="value">${asText ? 'Value' : 'Value, in hex digits'}</label><textarea id="value" name="value" spellcheck="false">
${text}</textarea><button>Write</button></form>`
}
<form method="post" action="${keysAddress(`${screen}/delete`, at)}">${csrfField(session)}<input type="hidden" name="seen" value="${current.revision}"><button class="danger">Delete</button></form></section>`;
}
