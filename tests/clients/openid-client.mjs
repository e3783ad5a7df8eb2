// openid-client, which knows nothing of Microsoft: every grant that it has.
import { createPrivateKey } from "node:crypto";
import * as oidc from "openid-client";
import { ask, claims, done, failure, task } from "./driver.mjs";

const graph = { scope: "https://graph.microsoft.com/.default" };
const at = (app, ...how) =>
  oidc.discovery(new URL(`${task.base}/${app.tenantId}/v2.0`), app.appId, ...how);
const found = {};

const daemon = await at(task.daemon, task.daemon.clientSecret);
found.issuer = daemon.serverMetadata().issuer;
found.daemon = claims((await oidc.clientCredentialsGrant(daemon, graph)).access_token);
const basic = await at(
  task.daemon, undefined, oidc.ClientSecretBasic(task.daemon.clientSecret),
);
found.basic = claims((await oidc.clientCredentialsGrant(basic, graph)).access_token);
found.wrongSecret = await failure(
  oidc.clientCredentialsGrant(await at(task.daemon, "wrong"), graph),
);
const key = await crypto.subtle.importKey(
  "pkcs8",
  createPrivateKey(task.certificate.privateKey).export({ type: "pkcs8", format: "der" }),
  { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" }, false, ["sign"],
);
const certified = await at(task.daemon, undefined, oidc.PrivateKeyJwt(key, {
  [oidc.modifyAssertion]: (header) => { header["x5t#S256"] = task.certificate.sha256Base64; },
}));
found.certificate = claims((await oidc.clientCredentialsGrant(certified, graph)).access_token);

async function byCode(client, scope, more = {}) {
  const verifier = oidc.randomPKCECodeVerifier();
  const nonce = oidc.randomNonce();
  const state = oidc.randomState();
  const url = oidc.buildAuthorizationUrl(client, {
    redirect_uri: task.callback, scope, nonce, state, ...more,
    code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
  });
  const answer = new URL(await ask({ open: url.href }));
  return oidc.authorizationCodeGrant(client, answer, {
    pkceCodeVerifier: verifier, expectedNonce: nonce, expectedState: state, idTokenExpected: true,
  });
}

const person = await at(task.public, undefined, oidc.None());
oidc.enableNonRepudiationChecks(person);
const first = await byCode(person, "openid profile email offline_access User.Read");
found.code = first.claims();
found.scope = first.scope;
found.userinfo = await oidc.fetchUserInfo(person, first.access_token, first.claims().sub);
const renewed = await oidc.refreshTokenGrant(person, first.refresh_token);
found.renewed = {
  another: renewed.access_token !== first.access_token, sub: renewed.claims().sub,
};
found.usedTwice = await failure(oidc.refreshTokenGrant(person, first.refresh_token));
found.familyEnded = await failure(oidc.refreshTokenGrant(person, renewed.refresh_token));
found.badToken = await failure(oidc.fetchUserInfo(person, "a.b.c", first.claims().sub));

const web = await at(task.web, task.web.clientSecret);
const withSecret = await byCode(web, "openid profile");
found.web = withSecret.claims();
found.cancelled = await failure(byCode(web, "openid", { prompt: "none", max_age: "0" }));

const hybrid = await at(task.hybrid, task.hybrid.clientSecret);
oidc.useCodeIdTokenResponseType(hybrid);
found.hybrid = (await byCode(hybrid, "openid profile")).claims();
const implicit = await at(task.hybrid, undefined, oidc.None());
oidc.useIdTokenResponseType(implicit);
const url = oidc.buildAuthorizationUrl(implicit, {
  redirect_uri: task.callback, scope: "openid profile", nonce: "a nonce",
});
found.implicit = await oidc.implicitAuthentication(
  implicit, new URL(await ask({ open: url.href })), "a nonce",
);

const begun = await oidc.initiateDeviceAuthorization(person, { scope: "openid profile User.Read" });
found.pending = await failure(oidc.genericGrantRequest(
  person, "urn:ietf:params:oauth:grant-type:device_code", { device_code: begun.device_code },
));
await ask({ device: begun.user_code });
found.device = (await oidc.pollDeviceAuthorizationGrant(person, begun)).claims();

found.onBehalfOf = claims((await oidc.genericGrantRequest(
  await at(task.middle, task.middle.clientSecret),
  "urn:ietf:params:oauth:grant-type:jwt-bearer",
  {
    assertion: task.assertion, requested_token_use: "on_behalf_of",
    scope: "https://graph.microsoft.com/User.Read",
  },
)).access_token);
found.password = claims((await oidc.genericGrantRequest(person, "password", {
  username: task.user, password: task.password, scope: "openid profile",
})).id_token);
found.signOut = oidc.buildEndSessionUrl(person, {
  id_token_hint: renewed.id_token, post_logout_redirect_uri: task.callback,
}).href;
found.unknownTenant = await failure(
  oidc.discovery(new URL(`${task.base}/nobody.example/v2.0`), task.daemon.appId, "x"),
);
done(found);
