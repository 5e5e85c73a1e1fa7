// A site to look at: simulated site systems, and a rolegate in front of them.
import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";

/** Waits for this long at most for anything that a program has to say. */
const PATIENCE = 30_000;

/** Runs until `found` has a result for what the program has written. */
function started(command, args, stream, found) {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, NO_COLOR: "1" } });
  return new Promise((resolve, reject) => {
    let text = "";
    const late = setTimeout(() => reject(new Error(`${command} is not ready:\n${text}`)), PATIENCE);
    child.on("error", reject);
    child.on("exit", (code) => reject(new Error(`${command} ended with ${code}:\n${text}`)));
    for (const name of ["stdout", "stderr"]) {
      child[name].on("data", (data) => {
        if (text.length < 1 << 20) text += data;
        const result = name === stream ? found(text) : undefined;
        if (result === undefined) return;
        clearTimeout(late);
        resolve({ child, result });
      });
    }
  });
}

/** Ends a program that this script has started, and waits for it. */
async function ended(child, signal = "SIGTERM") {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = new Promise((resolve) => child.once("exit", resolve));
  child.kill(signal);
  const late = setTimeout(() => child.kill("SIGKILL"), 5_000);
  await exit;
  clearTimeout(late);
}

/** A port of 127.0.0.1 on which nothing listens. */
async function closedPort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const PROBE =
  'probe = { interval = "1s", fast_interval = "200ms", down_interval = "500ms", timeout = "5s", jitter_percent = 0 }';

const GROUPS = `
[[boundary_groups]]
name = "Berlin"
description = "Headquarters"
boundaries = ["10.1.0.0/16", "127.0.0.0/9"]
site_systems = ["MP1", "DP1", "DP2"]
neighbors = [{ group = "Munich", fallback = { DP = 1, MP = 1 } }]

[[boundary_groups]]
name = "Munich"
boundaries = ["10.2.0.0/16"]
site_systems = ["MP2", "DP3"]

[[boundary_groups]]
name = "Remote offices <north & west>"
description = "A name that must come out as it is"
boundaries = ["10.3.0.0/16"]
site_systems = ["DP3"]
`;

function head(roles) {
  return `[site]
code = "P01"
description = "Contoso, primary site"
[proxy]
threads = 1
drain_timeout = "1s"
[fallback]
speedup = 60
[admin]
address = "127.0.0.1:0"
[[listeners]]
name = "http"
address = "127.0.0.1:0"
roles = ${JSON.stringify(roles)}
`;
}

/** A running site. */
export class Site {
  constructor(tools, folder, name) {
    this.tools = tools;
    this.folder = join(folder, name);
    this.file = join(this.folder, "rolegate.toml");
    this.systems = new Map();
    mkdirSync(this.folder, { recursive: true });
  }

  /** A simulated site system; with a fault, that is what is wrong with it. */
  async system(name, role, fault) {
    const args = ["--system", `${name}=${role}@127.0.0.1:0`, "--content", "PKG00001:5x64KiB", "--content", "PKG00002:2x64KiB"];
    if (fault) args.push("--fault", `${name}:${fault}`);
    const address = new RegExp(`^${name} 127\\.0\\.0\\.1:(\\d+)$`, "m");
    const { child, result } = await started(join(this.tools, "site"), args, "stdout", (text) => address.exec(text)?.[1]);
    this.systems.set(name, child);
    return Number(result);
  }

  async rolegate(text) {
    writeFileSync(this.file, text);
    const ready = (text) => /admin: .*?address"?[=:]"?(127\.0\.0\.1:\d+)/.exec(text)?.[1];
    const { child, result } = await started(join(this.tools, "rolegate"), ["run", this.file], "stderr", ready);
    this.proxy = child;
    this.origin = `http://${result}`;
    return this;
  }

  async json(path) {
    const answer = await fetch(this.origin + path);
    return answer.json();
  }

  /** Waits until the status says so. */
  async until(what, holds) {
    for (const begun = Date.now(); Date.now() - begun < PATIENCE; ) {
      const status = await this.json("/status");
      if (holds(status)) return status;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error(`not ${what} within ${PATIENCE / 1000} s`);
  }

  /** Some requests of a client, so that there is something to see. */
  async traffic(rounds) {
    const { listeners } = await this.json("/status");
    const targets = [
      "/SMS_MP/.sms_aut?MPLIST",
      "/SMS_MP/.sms_aut?MPCERT",
      "/SMS_DP_SMSPKG$/PKG00001",
      "/SMS_DP_SMSPKG$/PKG00001",
      "/SMS_DP_SMSPKG$/PKG00002",
      "/SMS_DP_SMSPKG$/GONE0001",
      "/nowhere",
    ];
    for (let round = 0; round < rounds; round++) {
      for (const target of targets) {
        const method = target.endsWith("2") ? "PROPFIND" : "GET";
        await fetch(`http://${listeners[0].address}${target}`, { method }).then((answer) => answer.arrayBuffer()).catch(() => {});
      }
    }
  }

  /** Goes on asking until the site ends, so that there is something under way. */
  async keepAsking() {
    while (!this.over) {
      await this.traffic(1).catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }

  async lose(name) {
    await ended(this.systems.get(name), "SIGKILL");
    this.systems.delete(name);
  }

  async end() {
    this.over = true;
    await Promise.all([this.proxy, ...this.systems.values()].filter(Boolean).map((child) => ended(child)));
    this.server?.close();
  }
}

function entry(name, role, port, more = "") {
  return `[[site_systems]]\nname = "${name}"\naddress = "127.0.0.1"\nroles = [{ role = "${role}", port = ${port} }]\n${more}\n`;
}

const roles = `[roles.MP]\n${PROBE}\n[roles.DP]\n${PROBE}\n`;

async function five(site, faults = {}) {
  const ports = {};
  for (const [name, role] of [["MP1", "MP"], ["MP2", "MP"], ["DP1", "DP"], ["DP2", "DP"], ["DP3", "DP"]]) {
    ports[name] = faults[name] === "closed" ? await closedPort() : await site.system(name, role, faults[name]);
  }
  const each = Object.entries(ports).map(([name, port]) => entry(name, name.slice(0, 2), port));
  return head(["MP", "DP"]) + roles + each.join("") + GROUPS;
}

const endpoints = (status) => status.roles.flatMap((role) => role.endpoints);

/** The states that the page is looked at in. */
export const STATES = {
  async healthy(site) {
    const text = await five(site);
    await site.rolegate(text);
    await site.until("up", (status) => endpoints(status).every((endpoint) => endpoint.health === "up"));
    // One configuration that is taken, and one that is not.
    writeFileSync(site.file, text.replace("10.2.0.0/16", "10.2.0.0/15").replace('boundaries = ["10.3.0.0/16"]', 'boundaries = ["10.4.0.0/16"]'));
    await site.until("taken", (status) => status.generation === 2);
    writeFileSync(site.file, text.replace('roles = ["MP","DP"]', 'roles = ["MPP"]'));
    await site.until("rejected", (status) => !status.reload.accepted);
    await site.traffic(5);
  },
  async degraded(site) {
    await site.rolegate(await five(site, { MP2: "database-down=on", DP2: "closed", DP1: "missing=PKG00002" }));
    await site.until("degraded", (status) => endpoints(status).filter((endpoint) => endpoint.health === "up").length === 3 && endpoints(status).every((endpoint) => endpoint.health !== "unproven"));
    await site.traffic(5);
  },
  async down(site) {
    const closed = { MP1: "closed", MP2: "closed", DP1: "closed", DP2: "closed", DP3: "closed" };
    await site.rolegate(await five(site, closed));
    await site.until("down", (status) => endpoints(status).every((endpoint) => endpoint.health === "down"));
    await site.traffic(2);
  },
  async empty(site) {
    await site.rolegate(head(["MP"]) + entry("MP1", "MP", 80).replace('"127.0.0.1"', '"mp1.site.invalid"'));
  },
  async large(site) {
    site.server = createServer((_, answer) => answer.end("ok"));
    await new Promise((resolve) => site.server.listen(0, "127.0.0.1", resolve));
    const { port } = site.server.address();
    const closed = await closedPort();
    const systems = [];
    for (let number = 0; number < 2000; number++) {
      const own = number % 40 === 7 ? closed : port;
      systems.push(entry(`DP-${String(number).padStart(4, "0")}`, "DP", own));
    }
    const groups = [];
    for (let number = 0; number < 250; number++) {
      const own = Array.from({ length: 8 }, (_, place) => `DP-${String(number * 8 + place).padStart(4, "0")}`);
      groups.push(`[[boundary_groups]]\nname = "Office ${number}"\nboundaries = ["10.${number}.0.0/16"]\nsite_systems = ${JSON.stringify(own)}\n`);
    }
    await site.rolegate(head(["DP"]) + `[roles.DP]\n${PROBE}\n` + systems.join("") + groups.join(""));
    await site.until("asked", (status) => endpoints(status).every((endpoint) => endpoint.health !== "unproven"));
  },
};
