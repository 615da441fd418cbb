// The page: a live feed of triggers and one customer's card. No framework: two fetches, one stream.
const WORDS = {
  en: {
    feed: "Triggers, as they fire", quiet: "Nothing has fired yet. The first trigger shows here within seconds.",
    card: "One customer", who: "Identifier", look: "Look up", identifiers: "Identifiers", basic: "Facts",
    trade: "Trade", behaviour: "Last contacts", complaint: "Complaints", enquiry: "Enquiries", scores: "Scores",
    why: "Why, and why not", ask: "Ask", waits: "Open waits, in the customer's own time", triggers: "Last triggers", orders: "orders", spent: "spent", last: "last order",
    none: "none", stage: "stage", risk: "churn risk", events_in: "events in", events_applied: "applied",
    trig: "triggers", delivered: "delivered", customers: "customers", dead_letters: "dead letters", heldOut: "held out",
    nobody: "Nobody is known by this: want TYPE:VALUE, such as user_id:u1 or store:s7, or a customer id.",
    open: "open", counted: "Whole days: today, 7 days, 30 days",
    outcomes: { fired: "acted", held_out: "comparison group", shadow: "only watched", limit: "often enough", suppressed: "left alone",
      no_channel: "no consent or address", expired: "too late", systemic: "many share the cause", failed: "not delivered" },
  },
  zh: {
    feed: "实时触发", quiet: "尚无触发，几秒内第一条会出现在这里。", card: "客户画像", who: "标识", look: "查询",
    identifiers: "标识", basic: "基本信息", trade: "交易", behaviour: "最近接触", complaint: "投诉", enquiry: "咨询",
    why: "为什么触发或未触发", ask: "查询原因", scores: "评分", waits: "等待中（客户当地时间）", triggers: "最近触发", orders: "订单", spent: "消费", last: "最近下单", none: "无",
    stage: "阶段", risk: "流失风险", events_in: "接收事件", events_applied: "已处理", trig: "触发", delivered: "已送达",
    customers: "客户", dead_letters: "死信", heldOut: "对照组", open: "未结", nobody: "没有这个标识的客户；请写 类型:值，如 user_id:u1 或 store:s7，或客户编号。", counted: "按自然日：今天、7 天、30 天",
    outcomes: { fired: "已触发", held_out: "对照组", shadow: "影子", limit: "频次上限", suppressed: "被抑制", no_channel: "无授权或无地址",
      expired: "已过时效", systemic: "多位客户同因", failed: "未送达" },
  },
};
const SHOWN_MAX = 60;
let language = localStorage.getItem("language") || (navigator.language.startsWith("zh") ? "zh" : "en");
let card = null;
let rules = [];
let asked = "";
let why = null;
const shown = [];
const $ = (id) => document.getElementById(id);
const t = (word) => WORDS[language][word] ?? word;
const ask = (path) => fetch(path, { headers: { "Accept-Language": language } });

function el(name, props = {}, ...children) {
  const node = Object.assign(document.createElement(name), props);
  node.append(...children.filter((child) => child !== null));
  return node;
}

const when = (iso) => new Date(iso).toLocaleString(language === "zh" ? "zh-CN" : "en-GB", { dateStyle: "short", timeStyle: "medium" });
const money = (minor, currency) => currency
  ? new Intl.NumberFormat(language, { style: "currency", currency }).format(minor / 100) : "0";

function drawTrigger(trigger) {
  const whole = trigger.reason?.[language] ?? trigger.reason?.en ?? "";
  const stop = language === "zh" ? "。" : ". ";  // the first sentence is the rule's title
  const [title, ...rest] = whole.split(stop);
  const reason = rest.join(stop) || whole;
  const who = el("button", { type: "button", textContent: trigger.customer });
  who.addEventListener("click", () => look(trigger.customer));
  const marks = [trigger.action.type + " " + trigger.action.name, (trigger.channels ?? []).join(" › ")];
  if (trigger.held_out) marks.push(t("heldOut"));
  return el("li", { className: trigger.kind ?? "" },
    el("div", { className: "top" },
      el("span", { className: "title", textContent: title || trigger.rule }),
      el("time", { textContent: when(trigger.at) })),
    el("p", { className: "reason", textContent: reason }),
    el("div", { className: "meta" }, who, " · " + marks.filter(Boolean).join(" · ")));
}

function drawFeed() {
  $("quiet").hidden = shown.length > 0;
  $("feed").replaceChildren(...shown.map(drawTrigger));
}

function rows(pairs) {
  const list = el("dl");
  for (const [name, value] of pairs) list.append(el("dt", { textContent: name }), el("dd", {}, value));
  return list;
}

function drawCard() {
  if (!card) return;
  if (card.error) {
    const words = card.code === "customer/unknown" ? t("nobody") : card.error;
    return $("card").replaceChildren(el("p", { className: "error", textContent: words }));
  }
  const section = (word, node) => [el("h3", { textContent: t(word) }), node];
  const list = (items) => items.length ? el("ul", {}, ...items.map((text) => el("li", { textContent: text })))
    : el("p", { className: "quiet", textContent: t("none") });
  const trade = card.trade;
  const recent = Object.entries(card.behaviour).flatMap(([channel, touch]) => touch.recent.map((r) => ({ channel, ...r })))
    .sort((a, b) => b.at.localeCompare(a.at)).slice(0, 8)
    .map(({ at, event, channel, ...told }) => `${when(at)}  ${card.titles?.[event]?.[language] ?? event}  ${Object.values(told).slice(0, 3).join(", ")}`);
  const risk = card.scores.churn_risk;
  const gauge = el("span", { className: "risk" });
  if (risk !== undefined) {
    const bar = el("i");
    bar.style.width = `${Math.round(risk * 100)}%`;
    gauge.append(bar);
  }
  const isPerson = card.kind === "person";  // else a shop, an advert: nothing is bought by it
  const ofPerson = (word, node) => isPerson ? section(word, node) : [];
  $("card").replaceChildren(
    ...section("identifiers", rows([["id", card.customer], ...Object.entries(card.identifiers)])),
    ...ofPerson("scores", rows([
      [t("risk"), risk === undefined ? t("none") : el("span", {}, gauge, `${Math.round(risk * 100)} %  ${card.churn.band}`)],
      ...card.churn.reasons.map((reason) => ["", String(reason)]),
      ...(card.stage ? [[t("stage"), card.stage.name]] : []),
    ])),
    ...ofPerson("trade", rows([
      [t("orders"), String(trade.orders)], [t("spent"), money(trade.total_minor, trade.currency)],
      [t("last"), trade.last_at ? when(trade.last_at) : t("none")],
    ])),
    ...(card.counted ? section("counted", rows(Object.entries(card.counted)
      .map(([event, counts]) => [card.titles?.[event]?.[language] ?? event, Object.values(counts).map((n) => n.toLocaleString(language)).join(" · ")]))) : []),
    ...section("behaviour", list(recent)),
    ...ofPerson("complaint", rows([[t("complaint"), String(card.complaint.count)], [t("open"), String(Object.keys(card.complaint.open).length)]])),
    ...section("waits", list(card.open_waits.map((wait) => wait.words?.[language] ?? `${when(wait.due)}  ${wait.timer}`))),
    ...section("triggers", list(card.last_triggers.slice(0, 6).map(drawDecision))),
    ...section("why", whyForm()),
    ...section("basic", rows(Object.entries(card.basic).map(([name, fact]) => [name, String(fact.value)]))),
  );
}

function drawDecision({ rule, outcome, at, times }) {
  const title = rules.find((known) => known.rule === rule)?.title[language] ?? rule;
  const often = times > 1 ? ` ×${times}` : "";
  return `${when(at)}  ${title}: ${t("outcomes")[outcome] ?? outcome}${often}`;
}

function whyForm() {
  const about = rules.filter((rule) => rule.key === card.kind);
  if (!about.some((rule) => rule.rule === asked)) asked = about[0]?.rule ?? "";
  const pick = el("select", { id: "rule", ariaLabel: t("why") },
    ...about.map((rule) => el("option", { value: rule.rule, textContent: rule.title[language] ?? rule.rule, selected: rule.rule === asked })));
  pick.addEventListener("change", () => { asked = pick.value; });
  const button = el("button", { type: "button", textContent: t("ask") });
  button.addEventListener("click", () => explain(pick.value));
  const told = [...(why?.last ? [why.last.words[language]] : []), ...(why?.now ?? []).map((x) => x.words[language]), ...(why?.occasions ?? []).slice(0, 8).map((x) => `${x.local}  ${x.words[language]}`)];
  const isTold = why?.now?.length || why?.occasions?.length;
  const lines = why?.error ? [why.error] : isTold ? told : why ? [why.verdict[language], ...told] : [];
  return el("div", { className: "why" }, pick, button, el("ul", {}, ...lines.map((text) => el("li", { textContent: text }))));
}

async function explain(rule) {
  asked = rule;
  const answer = await ask(`/api/rules/${encodeURIComponent(rule)}/explain/${encodeURIComponent(card.customer)}`);
  why = await answer.json();
  drawCard();
}

async function loadRules() {
  const answer = await ask("/api/rules");
  if (answer.ok) rules = (await answer.json()).rules;
  drawCard();
}

async function look(who) {
  $("who").value = who;
  const answer = await ask("/api/customers/" + encodeURIComponent(who));
  const found = await answer.json();
  if (found.customer !== card?.customer) why = null;
  card = found;
  drawCard();
}

async function drawTotals() {
  const answer = await ask("/api/totals");
  if (!answer.ok) return;
  const totals = await answer.json();
  const names = { events_in: "events_in", events_applied: "events_applied", triggers: "trig", delivered: "delivered", customers: "customers", dead_letters: "dead_letters" };
  $("totals").replaceChildren(...Object.entries(names).map(([name, word]) => el("div", {},
    el("dt", { textContent: t(word) }), el("dd", { textContent: totals[name].toLocaleString(language) }))));
}

function speak(next) {
  language = next;
  localStorage.setItem("language", next);
  document.documentElement.lang = next;
  for (const node of document.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
  for (const button of document.querySelectorAll("[data-language]"))
    button.setAttribute("aria-pressed", String(button.dataset.language === next));
  drawFeed();
  drawCard();
  drawTotals();
}

for (const button of document.querySelectorAll("[data-language]"))
  button.addEventListener("click", () => speak(button.dataset.language));
$("find").addEventListener("submit", (event) => { event.preventDefault(); look($("who").value.trim()); });
new EventSource("/api/feed").addEventListener("trigger", (message) => {
  const trigger = JSON.parse(message.data);
  if (shown.some((known) => known.id === trigger.id)) return;
  shown.unshift(trigger);
  shown.length = Math.min(shown.length, SHOWN_MAX);
  drawFeed();
});
speak(language);
look($("who").value);
loadRules();
setInterval(drawTotals, 1000);
setInterval(() => card && !card.error && look($("who").value), 5000);
