import express from 'express';
import { page, STYLE } from './page.js';
import { BadWord } from './words.js';

/** @param portals where the words are, for people: `https://host:port, …` */
export function application(words, portals) {
  const app = express();
  app.disable('x-powered-by');
  app.use((_request, response, next) => {
    response.set({
      'Content-Security-Policy':
        "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
      'Referrer-Policy': 'no-referrer',
      'X-Content-Type-Options': 'nosniff',
    });
    next();
  });
  // It tells of the process alone: a restart does not bring an etcd back.
  app.get('/health', (_request, response) => response.type('text').send('ok\n'));
  app.get('/style.css', (_request, response) => response.type('css').send(STYLE));
  app.get('/', async (_request, response) => {
    response.set('Cache-Control', 'no-store').send(page({ words: await words.list(), portals }));
  });
  app.use(ownFormsOnly, express.urlencoded({ extended: false, limit: '8kb' }));
  app.post('/words', async ({ body }, response) => {
    await words.put(body?.word, body?.meaning);
    response.redirect(303, '/');
  });
  app.post('/words/delete', async ({ body }, response) => {
    await words.delete(body?.word);
    response.redirect(303, '/');
  });
  app.use((_request, response) =>
    response.status(404).send(page({ message: 'There is no such page.', portals })),
  );
  // Express knows such a handler by its four parameters.
  app.use(async (error, _request, response, _next) => {
    if (error instanceof BadWord || (error.status >= 400 && error.status < 500)) {
      const status = error.status ?? 400;
      response.status(status).send(page({ message: error.message, words: await listed(words), portals }));
      return;
    }
    console.error(error.message);
    const message = 'etcd does not answer, or refuses. Try again in a moment; the log says more.';
    response.status(503).send(page({ message, portals }));
  });
  return app;
}

/** A page of somebody else's must not send the forms of this one. Every browser of today says where a form is from. */
function ownFormsOnly(request, response, next) {
  const site = request.get('Sec-Fetch-Site');
  if (request.method === 'POST' && site !== undefined && site !== 'same-origin' && site !== 'none') {
    response.status(403).type('text').send('The form is not from this page.\n');
    return;
  }
  next();
}

/** The message matters more than the list: without etcd the list is empty. */
async function listed(words) {
  try {
    return await words.list();
  } catch (error) {
    console.error(error.message);
    return [];
  }
}
