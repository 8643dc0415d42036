import type { Request } from 'express';
import type { Administration } from '../../administration/administration.js';
import type { KeyPlace } from '../../administration/key-browser.js';
import { Conflict, InvalidRequest } from '../../broker/errors.js';
import { addressOf } from '../frame.js';
import {
  type KeyPlaceOnScreen,
  keyScreen,
  keySpacesScreen,
  keysAddress,
  LONGEST_SHOWN,
  levelScreen,
  sureScreen,
} from '../screens/keys.js';
import { type Form, parseHex } from '../values.js';
import type { Action, Page, Shown, Visit } from '../visit.js';

/** A key space, then a folder or a key of it, as the query names them. */
export function keysPage({ parts: { keyBrowser } }: Administration): Page {
  return async ({ instance, session, base }, request): Promise<Shown> => {
    const { deployment_id } = instance;
    const screen = addressOf(base, 'keys');
    const { space, folder, key, from, as } = placeOf(request);
    if (space === undefined) {
      return { content: keySpacesScreen(screen, await keyBrowser.keySpaces(deployment_id)) };
    }
    const place: KeyPlaceOnScreen = { screen, session, keySpace: space };
    const scripts = ['keys'] as const;
    if (key === undefined) {
      const level = await keyBrowser.level(deployment_id, space, folder, from);
      return { scripts, content: levelScreen(place, folder, level) };
    }
    const where: KeyPlace = { deploymentId: deployment_id, keySpace: space, key };
    const [current, history] = await Promise.all([keyBrowser.read(where), keyBrowser.history(where)]);
    return { scripts, content: keyScreen(place, key, as, current, history) };
  };
}

/** By the end of their addresses below `keys`. Both ask first. */
export function keyActions(administration: Administration): Readonly<Record<string, Action>> {
  return {
    put: async (visit, request) => {
      const value = writtenValue(request);
      const place = await keyOf(visit, request);
      const seen = textOf(request, 'seen');
      if (textOf(request, 'sure') !== 'yes') {
        await ask(administration, visit, place, seen, value);
        return undefined;
      }
      await administration.putKey(visit.instance, place, value, seen);
      return { told: 'written', address: keysAddress('', { space: place.keySpace, key: place.key }) };
    },
    delete: async (visit, request) => {
      const place = await keyOf(visit, request);
      const seen = textOf(request, 'seen');
      if (textOf(request, 'sure') !== 'yes') {
        await ask(administration, visit, place, seen, undefined);
        return undefined;
      }
      await administration.deleteKey(visit.instance, place, seen);
      return { told: 'deleted', address: keysAddress('', { space: place.keySpace }) };
    },
  };
}

async function ask(
  { parts: { keyBrowser } }: Administration,
  { base, session, show }: Visit,
  place: KeyPlace,
  seen: string,
  next: Buffer | undefined,
): Promise<void> {
  const current = await keyBrowser.read(place);
  if ((current?.revision ?? '0') !== seen) {
    throw new Conflict(
      seen === '0'
        ? 'There is such a key already. Open it to change it.'
        : 'The key has been changed meanwhile. Look at it again before you write.',
    );
  }
  const screen = addressOf(base, 'keys');
  show({ content: sureScreen({ screen, session, keySpace: place.keySpace }, place.key, current, next) });
}

interface Place {
  space?: string | undefined;
  folder: Buffer;
  key?: Buffer | undefined;
  from?: Buffer | undefined;
  as?: Form | undefined;
}

/** Where a request's query points to. */
export function placeOf({ query }: Request): Place {
  const text = (name: string) => (typeof query[name] === 'string' ? (query[name] as string) : undefined);
  const bytes = (name: string) => {
    const given = text(name);
    return given === undefined ? undefined : Buffer.from(given, 'base64url');
  };
  const as = text('as');
  return {
    space: text('space'),
    folder: bytes('folder') ?? Buffer.alloc(0),
    key: bytes('key'),
    from: bytes('from'),
    as: as === 'text' || as === 'json' || as === 'hex' ? as : undefined,
  };
}

/** The key that is meant: one that is there, or a new one whose name was typed. */
async function keyOf({ instance }: Visit, request: Request): Promise<KeyPlace> {
  const { space, key } = placeOf(request);
  const name = key ?? Buffer.from(textOf(request, 'name'), 'utf8');
  if (space === undefined || name.length === 0) {
    throw new InvalidRequest('Name the key.');
  }
  return { deploymentId: instance.deployment_id, keySpace: space, key: name };
}

function writtenValue(request: Request): Buffer {
  const text = textOf(request, 'value');
  // Browsers send each line's end as two characters.
  const value =
    textOf(request, 'as') === 'hex' ? parseHex(text) : Buffer.from(text.replaceAll('\r\n', '\n'), 'utf8');
  if (value === undefined) {
    throw new InvalidRequest('The value must be hex digits, two for each byte.');
  }
  if (value.length > LONGEST_SHOWN) {
    throw new InvalidRequest(
      `A value that is written here may have ${LONGEST_SHOWN} bytes; this one has ${value.length}.`,
    );
  }
  return value;
}

function textOf(request: Request, name: string): string {
  const value: unknown = request.body?.[name];
  return typeof value === 'string' ? value : '';
}
