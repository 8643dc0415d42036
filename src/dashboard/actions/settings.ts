import type { Request } from 'express';
import type { Administration } from '../../administration/administration.js';
import { whitelistOf } from '../../administration/whitelist.js';
import { InvalidRequest } from '../../broker/errors.js';
import type { InstanceRecord } from '../../broker/model.js';
import { unitsOf } from '../../broker/units.js';
import { type ShownOnce, settingsScreen } from '../screens/settings.js';
import type { Action, Page, Shown, Visit } from '../visit.js';

export function settingsPage(administration: Administration): Page {
  return (visit) => settings(administration, visit);
}

async function settings(
  administration: Administration,
  { instance, session, base }: Omit<Visit, 'show'>,
  shownOnce: ShownOnce = {},
): Promise<Shown> {
  const { broker, etcdVersion, tokens } = administration.parts;
  const [stored, known, version, bindings] = await Promise.all([
    broker.records.storedBytes(instance.deployment_id),
    tokens.list(instance.instance_id),
    etcdVersion(),
    administration.hasPortals ? administration.bindings(instance) : [],
  ]);
  return {
    content: settingsScreen({
      ...{ base, session, stored, shownOnce },
      units: unitsOf(instance.parameters),
      mostUnits: administration.mostUnits(instance),
      unitBytes: administration.unitBytes(instance),
      autoScaling: autoScalingOf(instance),
      whitelist: whitelistOf(instance),
      hasPortals: administration.hasPortals,
      bindings: bindings.filter(({ state }) => state === 'ready'),
      tokens: known,
      etcdVersion: version,
    }),
  };
}

/** By the end of their addresses below `settings`. */
export function settingsActions(administration: Administration): Readonly<Record<string, Action>> {
  return {
    units: async ({ instance }, request) => {
      const units = wholeNumber(request, 'units');
      const most = field(request, 'max_units') === '' ? undefined : wholeNumber(request, 'max_units');
      // A parameter can't be taken back; a bound that is reached already adds nothing.
      const bound = most ?? (instance.parameters.auto_scaling === undefined ? undefined : units);
      await administration.change(instance, {
        units,
        ...(bound === undefined ? {} : { auto_scaling: { max_units: bound } }),
      });
      return { told: 'units' };
    },
    whitelist: async ({ instance }, request) => {
      const description = field(request, 'description');
      const ip = field(request, 'ip');
      await administration.allow(instance, description === '' ? { ip } : { ip, description });
      return { told: 'whitelist' };
    },
    'whitelist/remove': async ({ instance }, request) => {
      await administration.disallow(instance, ({ ip }) => ip === field(request, 'ip'));
      return { told: 'whitelist' };
    },
    tokens: async (visit, request) => {
      const description = field(request, 'description').slice(0, 200);
      const token = await administration.makeToken(visit.instance, description);
      visit.show(await settings(administration, visit, { token }));
      return undefined;
    },
    rotate: async (visit, request) => {
      const bindingId = field(request, 'binding_id');
      if (request.body?.sure !== 'yes') {
        throw new InvalidRequest('Confirm that the old password is to be good for nothing.');
      }
      const { credentials } = await administration.rotatePassword(visit.instance, bindingId);
      visit.show(await settings(administration, visit, { bindingId, credentials }));
      return undefined;
    },
    'tokens/revoke': async ({ instance }, request) => {
      await administration.revokeToken(instance, field(request, 'id'));
      return { told: 'revoked' };
    },
  };
}

/** @returns undefined where no units are added by themselves any more */
function autoScalingOf({ parameters }: InstanceRecord): number | undefined {
  const most = (parameters.auto_scaling as { max_units?: unknown } | undefined)?.max_units;
  return typeof most === 'number' && most > unitsOf(parameters) ? most : undefined;
}

function field(request: Request, name: string): string {
  const value: unknown = request.body?.[name];
  return typeof value === 'string' ? value.trim() : '';
}

function wholeNumber(request: Request, name: string): number {
  const text = field(request, name);
  if (!/^\d{1,4}$/.test(text)) {
    throw new InvalidRequest(`${name} must be a whole number.`);
  }
  return Number(text);
}
