// @microsoft/microsoft-graph-client: what a program that looks after guests does with it.
import { ClientSecretCredential } from "@azure/identity";
import {
  BatchRequestContent, BatchResponseContent, Client, GraphError, PageIterator,
} from "@microsoft/microsoft-graph-client";
import { TokenCredentialAuthenticationProvider }
  from "@microsoft/microsoft-graph-client/authProviders/azureTokenCredentials/index.js";
import { done, task } from "./driver.mjs";

const { daemon } = task;
const authProvider = new TokenCredentialAuthenticationProvider(
  new ClientSecretCredential(daemon.tenantId, daemon.appId, daemon.clientSecret,
    { authorityHost: task.base, disableInstanceDiscovery: true }),
  { scopes: ["https://graph.microsoft.com/.default"] },
);
const client = Client.initWithMiddleware({
  authProvider,
  baseUrl: `${task.base}/`,
  customHosts: new Set([new URL(task.base).hostname]),
});
const refusal = async (promise) => {
  try {
    await promise;
  } catch (error) {
    const { statusCode, code, requestId } = error;
    return { typed: error instanceof GraphError, statusCode, code, requestId };
  }
  return null;
};
const found = {};

const invited = await client.api("/invitations").post({
  invitedUserEmailAddress: "node@partner.example",
  invitedUserDisplayName: "Node Guest",
  inviteRedirectUrl: "https://myapps.microsoft.com",
  sendInvitationMessage: true,
});
found.status = invited.status;
const guest = invited.invitedUser.id;
await client.api(`/users/${guest}`).patch({ department: "Buying" });
found.guest = await client.api(`/users/${guest}`)
  .select(["userType", "externalUserState", "department"]).get();
found.filtered = (await client.api("/users").header("ConsistencyLevel", "eventual").count(true)
  .filter("userType eq 'Guest' and startswith(displayName,'Node')").orderby("displayName").top(5)
  .get()).value.map((one) => one.displayName);
found.searched = (await client.api("/users").header("ConsistencyLevel", "eventual")
  .search('"displayName:node"').get()).value.map((one) => one.displayName);

const seen = [];
await new PageIterator(client, await client.api("/users").top(2).get(), (one) => {
  seen.push(one.id);
  return true;
}).iterate();
found.paged = seen.length;
found.different = new Set(seen).size;

const group = await client.api("/groups").post({
  displayName: "Node crew", mailEnabled: false, mailNickname: "node-crew", securityEnabled: true,
});
await client.api(`/groups/${group.id}/members/$ref`)
  .post({ "@odata.id": `${task.base}/v1.0/directoryObjects/${guest}` });
found.members = (await client.api(`/groups/${group.id}/members`).get())
  .value.map((one) => [one["@odata.type"], one.displayName]);

const app = await client.api("/applications").post({ displayName: "Node orders" });
const principal = await client.api(`/servicePrincipals(appId='${app.appId}')`).get();
const assignment = await client.api(`/users/${guest}/appRoleAssignments`).post({
  principalId: guest, resourceId: principal.id,
  appRoleId: "00000000-0000-0000-0000-000000000000",
});
found.assigned = (await client.api(`/servicePrincipals/${principal.id}/appRoleAssignedTo`).get())
  .value.map((one) => one.principalDisplayName);
await client.api(`/users/${guest}/appRoleAssignments/${assignment.id}`).delete();
const secret = await client.api(`/applications/${app.id}/addPassword`)
  .post({ passwordCredential: { displayName: "CI" } });
found.secret = secret.secretText.length;
await client.api(`/applications/${app.id}`).delete();

found.audit = (await client.api("/auditLogs/directoryAudits")
  .filter(`targetResources/any(t:t/id eq '${guest}') and category eq 'UserManagement'`).get())
  .value.map((one) => one.activityDisplayName);
found.missing = await refusal(client.api("/users/00000000-0000-0000-0000-000000000001").get());
found.malformed = await refusal(client.api("/users").filter("displayName eq").get());

const batch = new BatchRequestContent([
  { id: "1", request: new Request("https://graph.microsoft.com/v1.0/organization", { method: "GET" }) },
  { id: "2", request: new Request("https://graph.microsoft.com/v1.0/users/nobody", { method: "GET" }) },
]);
const answers = new BatchResponseContent(
  await client.api("/$batch").post(await batch.getContent()),
);
found.batch = ["1", "2"].map((id) => answers.getResponseById(id).status);

await client.api(`/users/${guest}`).delete();
found.gone = await refusal(client.api(`/users/${guest}`).get());
await client.api(`/directory/deletedItems/${guest}/restore`).post({});
found.back = (await client.api(`/users/${guest}`).get()).displayName;
let delta = await client.api("/users/delta").select("displayName").get();
while (delta["@odata.nextLink"]) delta = await client.api(delta["@odata.nextLink"]).get();
await client.api(`/users/${guest}`).patch({ displayName: "Node Friend" });
found.delta = (await client.api(delta["@odata.deltaLink"]).get())
  .value.map((one) => one.displayName);
done(found);
