// `npm start`: makes a fresh clone ready, then runs the broker in this very process, so that signals reach it.
import { setUp } from './setup.mjs';

setUp();
await import('../dist/src/main.js');
