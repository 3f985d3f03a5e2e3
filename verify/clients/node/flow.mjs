// The official TypeScript client changes passwords, and the real systems are asked for each.
import { execFileSync, spawnSync } from "node:child_process";
import { constants, createPublicKey, publicEncrypt, randomBytes } from "node:crypto";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import sailpoint from "sailpoint-api-client";

const { SITE_BASE_URL, SITE_API_ID, SITE_API_SECRET, SITE_BINARY, SITE_SCRIPTS } = process.env;
const SYSTEMS = {
  ldap: process.env.SITE_LDAP_SOURCE,
  postgresql: process.env.SITE_POSTGRESQL_SOURCE,
  identitynow: "IdentityNow",
};

// The three names the same three operations have had.
const APIS = {
  v3: (configuration) => {
    const api = new sailpoint.PasswordManagementApi(configuration);
    return {
      query: (question) => api.queryPasswordInfo({ passwordInfoQueryDTO: question }),
      set: (request) => api.setPassword({ passwordChangeRequest: request }),
      status: (id) => api.getPasswordChangeStatus({ id }),
    };
  },
  beta: (configuration) => {
    const api = new sailpoint.PasswordManagementBetaApi(configuration);
    return {
      query: (question) => api.queryPasswordInfo({ passwordInfoQueryDTOBeta: question }),
      set: (request) => api.setIdentityPassword({ passwordChangeRequestBeta: request }),
      status: (id) => api.getIdentityPasswordChangeStatus({ id }),
    };
  },
  v2024: (configuration) => {
    const api = new sailpoint.PasswordManagementV2024Api(configuration);
    return {
      query: (question) => api.queryPasswordInfo({ passwordInfoQueryDTOV2024: question }),
      set: (request) => api.setPassword({ passwordChangeRequestV2024: request }),
      status: (id) => api.getPasswordChangeStatus({ id }),
    };
  },
};

async function main() {
  let people = 0;
  for (const [name, api] of Object.entries(APIS)) {
    for (const caller of ["API client", "personal access token"]) {
      const user = `u${++people}`;
      signInToRekey(caller, user);
      for (const system of Object.keys(SYSTEMS)) {
        await report(`${name}, ${caller}, ${system}`, () => changeTwice(api, system, user));
      }
    }
  }
}

// The client reads its credentials from the environment, as its documentation says.
function signInToRekey(caller, user) {
  let [id, secret] = [SITE_API_ID, SITE_API_SECRET];
  if (caller === "personal access token") {
    const words = ["token", "create", "--name", "flow", "--identity", user, "--json"];
    const token = JSON.parse(execFileSync(SITE_BINARY, words, { encoding: "utf8" }));
    [id, secret] = [token.clientId, token.clientSecret];
  }
  Object.assign(process.env, {
    SAIL_BASE_URL: SITE_BASE_URL,
    SAIL_CLIENT_ID: id,
    SAIL_CLIENT_SECRET: secret,
  });
}

// Twice, so that the old password is known, and known to be refused afterwards.
async function changeTwice(api, system, user) {
  const [first, second] = [password(), password()];
  await change(api, system, user, first);
  must(signsIn(system, user, first), "the new password does not sign in");
  await change(api, system, user, second);
  must(signsIn(system, user, second), "the second new password does not sign in");
  must(!signsIn(system, user, first), "the old password still signs in");
}

async function change(api, system, user, word) {
  const client = api(new sailpoint.Configuration());
  const { data: info } = await client.query({ userName: user, sourceName: SYSTEMS[system] });
  must(info.accounts?.length, `${user} has no account there`);
  const answer = await client.set({
    identityId: info.identityId,
    sourceId: info.sourceId,
    accountId: info.accounts[0].accountId,
    publicKeyId: info.publicKeyId,
    encryptedPassword: encrypt(word, info.publicKey),
  });
  must(answer.status === 202, `set-password answered ${answer.status}`);
  const { requestId } = answer.data;
  const deadline = Date.now() + 60_000;
  let { data: status } = await client.status(requestId);
  while (status.state === "IN_PROGRESS") {
    must(Date.now() < deadline, "still in progress after 60 s");
    await sleep(50);
    ({ data: status } = await client.status(requestId));
  }
  must(status.state === "FINISHED", `${status.state}: ${status.errors}`);
  must(status.requestId === requestId, "the status is another request's");
  must(status.sourceIds.includes(info.sourceId), "the status does not name the source");
}

function encrypt(word, publicKey) {
  const key = createPublicKey({ key: Buffer.from(publicKey, "base64"), format: "der", type: "spki" });
  const padded = { key, padding: constants.RSA_PKCS1_PADDING };
  return publicEncrypt(padded, Buffer.from(word)).toString("base64");
}

// A new one, of all classes, so that no sensible policy minds.
function password() {
  return `aA1-${randomBytes(12).toString("hex")}`;
}

function signsIn(system, user, word) {
  const script = join(SITE_SCRIPTS, "sign-in.sh");
  const asked = spawnSync("bash", [script, system, user], { input: word, encoding: "utf8" });
  must(asked.status === 0 || asked.status === 1, `${system} cannot be asked: ${asked.stderr}`);
  return asked.status === 0;
}

function must(held, otherwise) {
  if (!held) throw new Error(otherwise);
}

async function report(name, check) {
  try {
    await check();
    console.log(`ok ${name}`);
  } catch (error) {
    const answer = error.response ? JSON.stringify(error.response.data) : "";
    console.log(`not ok ${name}: ${`${error.message} ${answer}`.replace(/\s+/g, " ").slice(0, 600)}`);
  }
}

await main();
