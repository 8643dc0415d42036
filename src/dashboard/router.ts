import express, { type NextFunction, type Request, type Response, Router } from 'express';
import helmet from 'helmet';
import type { Administration } from '../administration/administration.js';
import { ClusterUnavailable } from '../broker/errors.js';
import type { InstanceRecord } from '../broker/model.js';
import type { DashboardSettings } from '../config/dashboard.js';
import { deploymentName } from '../credentials/available-credentials.js';
import { clientAddress } from '../osb/http/client-address.js';
import { refusal } from '../osb/http/error-reply.js';
import { HttpError, toErrorReply } from '../osb/http/errors.js';
import { GuessLimit } from '../osb/http/guess-limit.js';
import type { RequestLocals } from '../osb/http/request-log.js';
import type { DashboardLinks } from '../records/dashboard-links.js';
import { backupActions, backupsPage } from './actions/backups.js';
import { keyActions, keysPage } from './actions/keys.js';
import { MetricsPages } from './actions/metrics.js';
import { overviewPage } from './actions/overview.js';
import { settingsActions, settingsPage } from './actions/settings.js';
import { dashboardUrl, EVERY_DEPLOYMENT } from './address.js';
import { serveAsset } from './assets.js';
import { addressOf, type Frame, framed, type Notice, type ScreenPath } from './frame.js';
import { Gate, isOwnForm, isSameOrigin } from './gate.js';
import { html } from './html.js';
import { LastKnown } from './last-known.js';
import { LivePages } from './live.js';
import { PlatformEntry } from './platform-entry.js';
import { instancesScreen } from './screens/instances.js';
import { signInScreen } from './screens/sign-in.js';
import { newSession, type Permission, type Session } from './session.js';
import type { Action, Page, Visit } from './visit.js';

const DEPLOYMENT_ID = /^[0-9a-f]{24}$/;
const LONGEST_FORM = '2mb';
/** So many instances the operator's list shows. */
const MOST_INSTANCES = 500;

export interface DashboardParts {
  administration: Administration;
  links: DashboardLinks;
  instances(): AsyncIterable<{ value: InstanceRecord }>;
  /** With what people sign in at their platform; absent where links alone sign in. */
  platform?: DashboardSettings | undefined;
  /** Aborted when the broker ends. */
  stopping: AbortSignal;
}

/**
 * The service dashboard, under `/dashboard`: pages of one instance each for whoever is signed in to it. A stranger gets
 * the same page for every deployment id, known or not.
 */
export function dashboard(parts: DashboardParts): Router {
  const { administration, links } = parts;
  const { broker, service } = administration.parts;
  const address = () => `${service.publicUrl}/dashboard`;
  const root = () => new URL(address()).pathname;
  const gate = new Gate(broker.seals, root);
  const entry = parts.platform && new PlatformEntry(parts.platform, broker.seals, administration, root);
  const guesses = new GuessLimit();
  const lastInstances = new LastKnown<InstanceRecord>();
  const router = Router({ caseSensitive: true });

  router.get('/assets/:file', serveAsset);
  router.use(securityHeaders());
  router.use((_request, response, next) => {
    response.set('Cache-Control', 'no-store');
    next();
  });
  router.use(express.urlencoded({ extended: false, limit: LONGEST_FORM, parameterLimit: 20 }));

  const show = (response: Response, status: number, frame: Omit<Frame, 'assets'>) => {
    response
      .status(status)
      .type('html')
      .send(framed({ ...frame, assets: `${address()}/assets` }));
  };

  const signIn = (response: Response, scope: string, status: number, problem?: string) => {
    const isAll = scope === EVERY_DEPLOYMENT;
    show(response, status, {
      title: 'Compose for etcd',
      ...(problem && { notices: [{ kind: 'problem', text: problem }] }),
      content: signInScreen({
        action: isAll ? `${address()}/sign-in` : `${address()}/${scope}/sign-in`,
        ...(entry && !isAll && { platform: `${address()}/${scope}/sign-in` }),
        command: `npx compose-etcd-broker dashboard ${isAll ? '--all' : '<instance>'}`,
      }),
    });
  };

  const takeLink = async (request: Request, response: Response, scope: string): Promise<void> => {
    const from = clientAddress(request);
    const wait = guesses.secondsToWait(from, scope);
    if (wait > 0) {
      throw new HttpError(429, 'Too many wrong codes. Try again in a minute.', {
        'Retry-After': String(wait),
      });
    }
    if (!isSameOrigin(request)) {
      throw new HttpError(403, 'This form was sent by another site.');
    }
    const token = String(request.body?.link ?? '').trim();
    const user = token === '' ? undefined : await links.take(scope, token);
    if (user === undefined) {
      guesses.count(from, scope);
      return signIn(
        response,
        scope,
        401,
        'The code is not good here: it may be used up, or too old. Make a new one.',
      );
    }
    const session = newSession({ deployment_id: scope, permission: 'manage', user });
    identify(response, session);
    gate.write(response, session);
    response.redirect(303, scope === EVERY_DEPLOYMENT ? address() : dashboardUrl(service.publicUrl, scope));
  };

  router.get('/', async (request, response) => {
    const session = gate.sessionOf(request, EVERY_DEPLOYMENT);
    if (session === undefined) {
      return signIn(response, EVERY_DEPLOYMENT, 401);
    }
    gate.touch(response, session);
    const found: InstanceRecord[] = [];
    for await (const { value } of parts.instances()) {
      found.push(value);
      if (found.length > MOST_INSTANCES) {
        break;
      }
    }
    show(response, 200, {
      title: 'Compose for etcd',
      content: instancesScreen(
        found.slice(0, MOST_INSTANCES),
        service.publicUrl,
        found.length > MOST_INSTANCES,
      ),
    });
  });
  router.param('deployment_id', (_request, _response, next, id: string) => {
    next(DEPLOYMENT_ID.test(id) ? undefined : new HttpError(404, 'There is no such page.'));
  });
  if (entry !== undefined) {
    router.get('/callback', async (request, response) => {
      const session = await entry.finish(request, response);
      identify(response, session);
      gate.write(response, session);
      response.redirect(303, dashboardUrl(service.publicUrl, session.deployment_id));
    });
    router.get('/:deployment_id/sign-in', (request, response) =>
      entry.begin(response, String(request.params.deployment_id)),
    );
  }
  router.post('/sign-in', (request, response) => takeLink(request, response, EVERY_DEPLOYMENT));

  router.post('/:deployment_id/sign-in', (request, response) =>
    takeLink(request, response, String(request.params.deployment_id)),
  );

  /**
   * Who looks at what; undefined when the answer is given already.
   * @param isPolled that a page asks by itself, which keeps no session open
   */
  const enter = async (
    request: Request,
    response: Response,
    needed: Permission,
    isPolled = false,
  ): Promise<Omit<Visit, 'show'> | undefined> => {
    const id = String(request.params.deployment_id);
    const found = gate.sessionOf(request, id);
    if (found === undefined) {
      signIn(response, id, 401);
      return undefined;
    }
    const known = await lastInstances.get(
      id,
      async () => (await broker.records.readInstanceOfDeployment(id))?.value,
    );
    if (known === undefined) {
      throw new HttpError(404, 'This service instance does not exist any more.');
    }
    const session =
      found.platform === undefined ? found : await entry?.refresh(found, known.value.instance_id);
    if (session === undefined) {
      gate.clear(response, found);
      signIn(response, id, 401, 'Your sign-in has ended, or you have no role for this instance any more.');
      return undefined;
    }
    if (session !== found) {
      gate.write(response, session);
    }
    if (needed === 'manage' && session.permission !== 'manage') {
      throw new HttpError(403, 'You may look at this instance, but not change it or see its keys.');
    }
    const { value: instance, since } = known;
    identify(response, session, instance);
    if (!isPolled) {
      gate.touch(response, session);
    }
    return {
      instance,
      session,
      base: dashboardUrl(service.publicUrl, id),
      ...(since === undefined ? {} : { since }),
    };
  };

  const showTo =
    (response: Response, visit: Omit<Visit, 'show'>, screen: ScreenPath): Visit['show'] =>
    (page, status = 200) => {
      const since = page.since ?? visit.since;
      const notices: Notice[] = [
        ...(since === undefined
          ? []
          : [
              {
                kind: 'stale' as const,
                text: `etcd does not answer. This is what was known at ${since.slice(11, 19)} UTC.`,
              },
            ]),
        ...(page.notices ?? []),
      ];
      show(response, status, {
        ...page,
        title: titleOf(service.region, visit.instance),
        notices,
        visit: { ...visit, screen, subtitle: planOf(administration, visit.instance) },
      });
    };

  /**
   * A screen; `?told=` names what was done right before.
   * @param isKept that it can show what was known last
   */
  const screen = (path: ScreenPath, permission: Permission, page: Page, isKept = false) => {
    router.get(addressOf('/:deployment_id', path), async (request, response) => {
      const visit = await enter(request, response, permission);
      if (visit !== undefined) {
        if (!isKept) {
          assertAnswers(visit);
        }
        const notice = TOLD.get(String(request.query.told));
        const notices: Notice[] = notice === undefined ? [] : [{ kind: 'success', text: notice }];
        showTo(response, visit, path)({ notices, ...(await page(visit, request)) });
      }
    });
  };

  /** A form of a screen. What is refused is said on that screen, and what was done too. */
  const action = (path: ScreenPath, name: string, page: Page, act: Action) => {
    router.post(addressOf(addressOf('/:deployment_id', path), name), async (request, response) => {
      const visit = await enter(request, response, 'manage');
      if (visit === undefined) {
        return;
      }
      assertAnswers(visit);
      if (!isOwnForm(request, visit.session)) {
        throw new HttpError(403, 'This form is too old, or was sent by another site. Open the page again.');
      }
      const here = showTo(response, visit, path);
      try {
        const done = await act({ ...visit, show: here }, request);
        if (done !== undefined) {
          const { address = '?', told } = done;
          response.redirect(303, `${addressOf(visit.base, path)}${address}&told=${told}`);
        }
      } catch (error) {
        const { status, body, isFault } = toErrorReply(error);
        if (isFault || status >= 500) {
          throw error;
        }
        (response.locals as RequestLocals).failure = body.description;
        here(
          { notices: [{ kind: 'problem', text: body.description }], ...(await page(visit, request)) },
          status,
        );
      }
    });
  };

  screen('', 'read', overviewPage(administration), true);
  const metrics = new MetricsPages(administration);
  screen('metrics', 'read', metrics.page, true);
  router.get('/:deployment_id/metrics/series', async (request, response) => {
    const visit = await enter(request, response, 'read', true);
    if (visit !== undefined) {
      await metrics.series(visit, request.query.range, response);
    }
  });
  const backups = backupsPage(administration);
  screen('backups', 'read', backups);
  for (const [name, act] of Object.entries(backupActions(administration))) {
    action('backups', name, backups, act);
  }
  router.get('/:deployment_id/backups/:backup_id/download', async (request, response) => {
    const visit = await enter(request, response, 'manage');
    if (visit !== undefined) {
      await administration.sendBackup(response, visit.instance, String(request.params.backup_id));
    }
  });
  const keys = keysPage(administration);
  screen('keys', 'manage', keys);
  for (const [name, act] of Object.entries(keyActions(administration))) {
    action('keys', name, keys, act);
  }
  const live = new LivePages(administration.parts.keyBrowser, parts.stopping);
  router.get('/:deployment_id/keys/live', async (request, response) => {
    const visit = await enter(request, response, 'manage');
    if (visit !== undefined) {
      await live.serve(visit, request, response);
    }
  });
  const settings = settingsPage(administration);
  screen('settings', 'manage', settings);
  for (const [name, act] of Object.entries(settingsActions(administration))) {
    action('settings', name, settings, act);
  }

  router.post('/:deployment_id/sign-out', (request, response) => {
    const id = String(request.params.deployment_id);
    const session = gate.sessionOf(request, id);
    if (session !== undefined && isOwnForm(request, session)) {
      gate.clear(response, session);
    }
    response.redirect(303, dashboardUrl(service.publicUrl, id));
  });

  router.use(() => {
    throw new HttpError(404, 'There is no such page.');
  });
  router.use((thrown: unknown, _request: Request, response: Response, next: NextFunction) => {
    if (response.headersSent) {
      next(thrown);
      return;
    }
    const { status, body, headers, isFault } = toErrorReply(refusal(thrown));
    (response.locals as RequestLocals).failure = body.description;
    if (isFault) {
      broker.log.error({ reason: (thrown as Error).message }, 'A page of the dashboard could not be shown');
    }
    response.set(headers);
    show(response, status, {
      title: 'Compose for etcd',
      content: html`<section class="card narrow"><h1>${status >= 500 ? 'Not available' : 'Not possible'}</h1><p role="alert">${body.description}</p></section>`,
    });
  });
  return router;
}

/** What a form's answer says after the browser was sent on. */
const TOLD: ReadonlyMap<string, string> = new Map([
  ['backup', 'A backup is being made.'],
  ['restore', 'The restore has begun. Applications are held off until it is done.'],
  ['units', 'Saved.'],
  ['whitelist', 'The whitelist is changed. It counts at every portal within a second.'],
  ['revoked', 'The token is good for nothing any more.'],
  ['written', 'The key is written.'],
  ['deleted', 'The key is deleted.'],
]);

/** @throws ClusterUnavailable when etcd did not answer a moment ago: it is not waited for again */
function assertAnswers({ since }: Pick<Visit, 'since'>): void {
  if (since !== undefined) {
    throw new ClusterUnavailable();
  }
}

/** For the request's log line and audit line. */
function identify(response: Response, session: Session, instance?: InstanceRecord): void {
  const locals = response.locals as RequestLocals;
  locals.originatingIdentity = {
    platform: 'dashboard',
    value: { user: session.user, session: session.id.slice(0, 8) },
  };
  if (instance !== undefined) {
    locals.instance = instance.instance_id;
  }
}

function titleOf(region: string, { instance_id }: InstanceRecord): string {
  return deploymentName(region, instance_id);
}

function planOf({ parts }: Administration, { service_id, plan_id }: InstanceRecord): string {
  return `etcd · ${parts.catalog.findPlan(service_id, plan_id)?.name ?? 'a plan that is no longer offered'}`;
}

/** A policy without exceptions: scripts and styles are files of our own. */
export function securityHeaders() {
  return helmet({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'none'"],
        scriptSrc: ["'self'"],
        styleSrc: ["'self'"],
        imgSrc: ["'self'"],
        connectSrc: ["'self'"],
        formAction: ["'self'"],
        baseUri: ["'none'"],
        frameAncestors: ["'none'"],
      },
    },
    referrerPolicy: { policy: 'no-referrer' },
  });
}
