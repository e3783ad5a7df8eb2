// mailpit-api as its README shows it, and every route that it has.
import { MailpitClient } from "mailpit-api";
import { done, failure, task } from "./driver.mjs";

const mailpit = new MailpitClient(`${task.url}/mail`);
const found = { events: [] };
await mailpit.deleteMessages();
const socket = new WebSocket(`${task.url.replace("http", "ws")}/mail/api/events`);
socket.onmessage = event => found.events.push(JSON.parse(event.data).Type);
await new Promise(open => { socket.onopen = open; });
const sent = await mailpit.sendMessage({
  From: { Email: "john@woodgrove.example", Name: "John" },
  To: [{ Email: "sam@contoso.example" }],
  Subject: "Welcome to Our App",
  Text: "Your code: 482917",
  HTML: '<p>Your code: <b>482917</b></p><img src="cid:dot">',
  Tags: ["first"],
  Attachments: [
    { Content: task.picture, Filename: "dot.png", ContentID: "dot" },
    { Content: "aGVsbG8=", Filename: "hello.txt" },
  ],
});
const id = sent.ID;
const waited = await mailpit.waitForMessage({ query: "subject:Welcome to Our App" });
found.waited = [waited.ID === id, waited.To[0].Address, waited.Subject, waited.Tags];
const listed = await mailpit.listMessages();
found.listed = [listed.total, listed.messages_count, listed.messages[0].Read, listed.messages[0].Attachments];
found.changed = [await mailpit.setReadStatus({ IDs: [id], Read: false })];
found.unread = (await mailpit.listMessages()).unread;
found.headers = (await mailpit.getMessageHeaders(id)).Subject;
found.source = (await mailpit.getMessageSource(id)).includes("Subject: Welcome to Our App");
const message = await mailpit.getMessageSummary(id);
const inline = message.Inline[0].PartID;
found.part = (await mailpit.getMessageAttachment(id, inline)).type;
found.thumb = (await mailpit.getAttachmentThumbnail(id, inline)).type;
found.html = await mailpit.renderMessageHTML(id);
found.text = (await mailpit.renderMessageText(id)).trim();
found.check = Object.keys(await mailpit.htmlCheck(id));
found.links = (await mailpit.linkCheck(id)).Errors;
found.changed.push(await mailpit.setTags({ IDs: [id], Tags: ["blue", "two words"] }));
found.changed.push(await mailpit.renameTag("two words", "three"));
found.tags = await mailpit.getTags();
found.changed.push(await mailpit.deleteTag("three"));
found.searched = (await mailpit.searchMessages({ query: "tag:blue" })).messages_count;
found.chaos = await mailpit.setChaosTriggers({ Recipient: { ErrorCode: 452, Probability: 50 } });
found.calm = (await mailpit.setChaosTriggers({})).Recipient;
found.info = (await mailpit.getInfo()).Messages;
found.webui = (await mailpit.getConfiguration()).MessageRelay.Enabled;
found.release = (await failure(mailpit.releaseMessage(id, { To: ["a@b.example"] }))).message;
found.changed.push(await mailpit.deleteMessagesBySearch({ query: "tag:blue" }));
found.left = (await mailpit.listMessages()).total;
for (let tries = 0; tries < 100 && !found.events.includes("delete"); tries++) {
  await new Promise(later => setTimeout(later, 50));
}
done(found);
