// What every driver has in common: its task, the person with a browser, and the last line.
import { createInterface } from "node:readline";

export const task = JSON.parse(process.env.TASK);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

// Shows the tests something that a person has to act on; gives what he came back with.
export async function ask(what) {
  process.stdout.write(JSON.stringify({ ask: what }) + "\n");
  return (await lines.next()).value;
}

// The claims of a token, unverified: the clients have verified what they are for.
export function claims(token) {
  return JSON.parse(Buffer.from(token.split(".")[1], "base64url"));
}

// The error that a promise ends with, as the client's own kind tells it.
export async function failure(promise) {
  try {
    await promise;
  } catch (error) {
    const cause = error.cause ?? {};
    return {
      kind: error.constructor.name,
      name: error.name,
      code: error.errorCode ?? error.error ?? error.code ?? null,
      suberror: error.subError ?? cause.suberror ?? error.suberror ?? null,
      numbers: error.errorNo ?? error.errorResponse?.errorCodes ?? cause.error_codes ?? null,
      message: error.message,
      description: error.error_description ?? error.errorResponse?.errorDescription ?? null,
      status: error.status ?? error.statusCode ?? null,
    };
  }
  return null;
}

export function done(found) {
  process.stdout.write(JSON.stringify({ done: found }) + "\n");
  process.exit(0);
}
