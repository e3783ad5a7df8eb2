// @azure/identity, every credential that needs no screen of its own.
import {
  AuthorizationCodeCredential,
  ClientAssertionCredential,
  ClientCertificateCredential,
  ClientSecretCredential,
  DeviceCodeCredential,
  OnBehalfOfCredential,
  UsernamePasswordCredential,
} from "@azure/identity";
import { ask, claims, done, failure, task } from "./driver.mjs";

const graph = "https://graph.microsoft.com/.default";
const options = { authorityHost: task.base, disableInstanceDiscovery: true };
const { daemon, web, middle } = task;
const person = task.public;
const token = async (credential, scope = graph) => claims((await credential.getToken(scope)).token);
const found = {};

found.daemon = await token(
  new ClientSecretCredential(daemon.tenantId, daemon.appId, daemon.clientSecret, options),
);
found.graphByHost = await token(
  new ClientSecretCredential(daemon.tenantId, daemon.appId, daemon.clientSecret, options),
  `${task.base}/.default`,
);
found.wrongSecret = await failure(
  new ClientSecretCredential(daemon.tenantId, daemon.appId, "wrong", options).getToken(graph),
);
found.certificate = await token(new ClientCertificateCredential(
  daemon.tenantId, daemon.appId,
  { certificate: task.certificate.privateKey + task.certificate.pem }, options,
));
found.assertion = await token(new ClientAssertionCredential(
  daemon.tenantId, daemon.appId, async () => task.certificate.assertion, options,
));

const url = new URL(`${task.base}/${web.tenantId}/oauth2/v2.0/authorize`);
url.search = new URLSearchParams({
  client_id: web.appId, response_type: "code", redirect_uri: task.callback,
  scope: "openid profile offline_access User.Read",
});
const code = new URL(await ask({ open: url.href })).searchParams.get("code");
found.code = await token(new AuthorizationCodeCredential(
  web.tenantId, web.appId, web.clientSecret, code, task.callback, options,
), "User.Read");

const device = new DeviceCodeCredential({
  ...options, tenantId: person.tenantId, clientId: person.appId,
  userPromptCallback: (answer) => { ask({ device: answer.userCode }); },
});
found.device = await token(device, "User.Read");
found.renewed = await token(device, "User.ReadBasic.All");
found.refused = await failure(new DeviceCodeCredential({
  ...options, tenantId: person.tenantId, clientId: person.appId,
  disableAutomaticAuthentication: true,
}).getToken("User.Read"));

const named = (password) => new UsernamePasswordCredential(
  person.tenantId, person.appId, task.user, password, options,
);
found.password = await token(named(task.password), "User.Read");
found.wrongPassword = await failure(named("wrong").getToken("User.Read"));

const behalf = (scope) => new OnBehalfOfCredential({
  ...options, tenantId: middle.tenantId, clientId: middle.appId,
  clientSecret: middle.clientSecret, userAssertionToken: task.assertion,
}).getToken(scope);
found.onBehalfOf = claims((await behalf("https://graph.microsoft.com/User.Read")).token);
found.onBehalfOfRefused = await failure(behalf("User.ReadWrite.All"));
done(found);
