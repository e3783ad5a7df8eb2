// @azure/msal-node, every grant that it has.
import {
  ConfidentialClientApplication,
  CryptoProvider,
  PublicClientApplication,
} from "@azure/msal-node";
import { ask, claims, done, failure, task } from "./driver.mjs";

const graph = ["https://graph.microsoft.com/.default"];
const auth = (app, more = {}) => ({
  auth: {
    clientId: app.appId,
    authority: `${task.base}/${app.tenantId}`,
    knownAuthorities: [new URL(task.base).host],
    ...more,
  },
});
const confidential = (app, more = { clientSecret: app.clientSecret }) =>
  new ConfidentialClientApplication(auth(app, more));
const found = {};

const daemon = confidential(task.daemon);
found.daemon = claims((await daemon.acquireTokenByClientCredential({ scopes: graph })).accessToken);
found.fromCache = (await daemon.acquireTokenByClientCredential({ scopes: graph })).fromCache;
found.wrongSecret = await failure(
  confidential(task.daemon, { clientSecret: "wrong" })
    .acquireTokenByClientCredential({ scopes: graph }),
);
found.singleScope = await failure(
  daemon.acquireTokenByClientCredential({ scopes: ["User.Read.All"] }),
);
found.certificate = claims((await confidential(task.daemon, {
  clientCertificate: {
    thumbprintSha256: task.certificate.sha256,
    privateKey: task.certificate.privateKey,
    x5c: task.certificate.pem,
  },
}).acquireTokenByClientCredential({ scopes: graph })).accessToken);

async function byCode(client, scopes) {
  const { verifier, challenge } = await new CryptoProvider().generatePkceCodes();
  const request = { scopes, redirectUri: task.callback, nonce: "a nonce", state: "a=b&c" };
  const url = await client.getAuthCodeUrl({
    ...request, codeChallenge: challenge, codeChallengeMethod: "S256",
  });
  const answer = new URL(await ask({ open: url }));
  const { searchParams } = answer;
  return client.acquireTokenByCode(
    { ...request, code: searchParams.get("code"), codeVerifier: verifier },
    { code: searchParams.get("code"), state: searchParams.get("state"), nonce: "a nonce",
      ...(searchParams.get("client_info") && { client_info: searchParams.get("client_info") }) },
  );
}

const person = new PublicClientApplication(auth(task.public));
const first = await byCode(person, ["User.Read"]);
found.code = { account: first.account, id: first.idTokenClaims, scopes: first.scopes };
const [account] = await person.getTokenCache().getAllAccounts();
const silent = (more) => person.acquireTokenSilent({ scopes: ["User.Read"], account, ...more });
found.silent = (await silent({})).fromCache;
const renewed = await silent({ forceRefresh: true });
found.renewed = { fromCache: renewed.fromCache, another: renewed.accessToken !== first.accessToken };
found.refused = await failure(silent({ scopes: ["User.ReadWrite.All"] }));

const web = await byCode(confidential(task.web), ["User.Read"]);
found.web = claims(web.accessToken);

let shown;
const device = person.acquireTokenByDeviceCode({
  scopes: ["User.Read"],
  deviceCodeCallback: (answer) => {
    shown = answer;
    ask({ device: answer.userCode });
  },
});
found.device = (await device).idTokenClaims;
found.deviceMessage = shown.message.includes(shown.userCode);

const named = { scopes: ["User.Read"], username: task.user };
found.password = (await person.acquireTokenByUsernamePassword(
  { ...named, password: task.password },
)).idTokenClaims;
found.wrongPassword = await failure(
  person.acquireTokenByUsernamePassword({ ...named, password: "wrong" }),
);

const assertion = (await byCode(person, [`api://${task.middle.appId}/Work.Do`])).accessToken;
const middle = confidential(task.middle);
found.onBehalfOf = claims((await middle.acquireTokenOnBehalfOf({
  oboAssertion: assertion, scopes: ["https://graph.microsoft.com/User.Read"],
})).accessToken);
found.onBehalfOfRefused = await failure(
  middle.acquireTokenOnBehalfOf({ oboAssertion: assertion, scopes: ["User.ReadWrite.All"] }),
);
done(found);
