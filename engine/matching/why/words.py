"""What `why` says of each outcome: a sentence in English and one in Chinese, with its holes."""

WORDS = {
    "fired": ("It acted: {action}{ways}{table}{incident}.{reason}",
              "已触发：{action}{ways}{table}{incident}。{reason}"),
    "held_out": (
        "It would have acted; the customer is in the comparison group{table}{incident}.{reason}",
        "条件已满足，但客户属于对照组，未触达{table}{incident}。{reason}",
    ),
    "shadow": ("It would have acted; the rule only watches{table}{incident}.{reason}",
               "条件已满足，但规则处于影子状态{table}{incident}。{reason}"),
    "changed": ("The rule was changed, which ended what had begun; it begins anew.",
                "规则有改动，正在等待的已结束，重新开始。"),
    "asleep": ("The rule is {status}: it does not act.", "规则状态为“{status}”，不会触发。"),
    "condition": ("The condition did not hold: {clause}{values}.",
                  "条件不成立：{clause}{values}。"),
    "unknown": (
        "The condition needs what is not known: {clause}{values}.",
        "条件所需的数据缺失：{clause}{values}。",
    ),
    "where": ("Step {step} did not take the {event}: {clause}{values}.",
              "第{step}步未匹配「{event}」：{clause}{values}。"),
    "missing": (
        "Step {step} needs what the {event} does not say: {clause}{values}.",
        "第{step}步所需数据在「{event}」中缺失：{clause}{values}。",
    ),
    "instance": ("The {event} has no {field}, so it is of no instance of the rule.",
                 "「{event}」缺少{field}，无法归入规则的任何实例。"),
    "begun": ("Step {step} of {steps} took the {event}; the rest has not happened yet.",
              "「{event}」完成第{step}步（共{steps}步），其余尚未发生。"),
    "counted": ("Step {step} of {steps} counts the {event}; it needs {times} within {span} and has "
                "{seen}.",
                "「{event}」计入第{step}步（共{steps}步），该步需在{span}内发生{times}次，目前{seen}次。"),
    "waits": ("It waits until {until} for {for} not to happen.",
              "等待至{until}，期间若无「{for}」则触发。"),
    "prevented": ("What must not happen did, in time: {event}.",
                  "等待期间发生了「{event}」，因此未触发。"),
    "called_off": ("It was called off: {event}.", "已被「{event}」取消。"),
    "expired": ("It came too late: worth acting on until {until} only.",
                "已过时效：仅在{until}之前有意义。"),
    "suppressed": ("The customer gets nothing of this kind until {until}{rival}.",
                   "该客户在{until}之前不接收此类触达{rival}。"),
    "quiet": ("Quiet hours: held until {until}, then asked again.",
              "处于静默时段：推迟至{until}再判断。"),
    "limit": ("Often enough: {limit}{fired}{rival}.", "已达频次上限：{limit}{fired}{rival}。"),
    "no_channel": ("No way to reach the customer: {ways}{table}.",
                   "没有可用的触达渠道：{ways}{table}。"),
    "no_cell": ("The table has nothing to do for these grades{table}.",
                "分级表中该格为空，不执行任何动作{table}。"),
    "no_grade": ("The table has no grade for the customer{table}.",
                 "分级表中没有适用于该客户的档位{table}。"),
    "scope": ("The rule is tried elsewhere: {scope}{values}.",
              "规则目前不对该客户试行：{scope}{values}。"),
    "asks": (
        "It waits until {until} whether others share the cause{incident}.",
        "等待至{until}，以确认是否多位客户同因{incident}。",
    ),
    "asks_context": ("It asks the customer's city, until {until}.",
                     "正在询问客户所在城市的情况，至{until}。"),
    "systemic": ("Held back, since too many share the cause{incident}.",
                 "同因客户过多，已暂停发送{incident}。"),
    "entered": ("The customer became one of {segment}: {clause}{values}.",
                "客户进入分群「{segment}」：{clause}{values}。"),
    "left": ("The customer is no longer one of {segment}: it does not hold that {clause}{values}.",
             "客户离开分群「{segment}」，不再满足：{clause}{values}。"),
    "member": (
        "The customer was one of {segment} already when it was first looked at, so did not enter.",
        "首次查看时客户已在分群「{segment}」中，因此不算进入。",
    ),
    "inside": ("Now: one of {segment} since {until}: {clause}{values}.",
               "当前：自{until}起属于分群「{segment}」：{clause}{values}。"),
    "outside": ("Now: not one of {segment}; it does not hold that {clause}{values}.",
                "当前：不在分群「{segment}」中，未满足：{clause}{values}。"),
    "unasked": (
        "Now: nothing has come from the customer since a rule waits for {segment}.",
        "当前：自规则等待分群「{segment}」以来，客户尚无任何事件。",
    ),
    "silent": ("Now: no {sign} since {since}; it comes true at {until} if none comes.",
               "当前：自{since}起没有{sign}；若持续到{until}则触发。"),
    "silence_told": (
        "Now: no {sign} since {since}, and it came true for that; the next one starts anew.",
        "当前：自{since}起没有{sign}，已为此触发过；下次{sign}后重新计时。",
    ),
    "silence_never": ("Now: there has been no {sign} yet, from which a silence could begin.",
                      "当前：还没有过{sign}，无从计算沉默。"),
    "silence_unwatched": (
        "Now: no {sign} since {since}, that is since before the rule was published; "
        "it begins with the next {sign}, or with `engine rules catch-up`.",
        "当前：自{since}起没有{sign}，早于规则发布；"
        "规则从下次{sign}开始计时，或运行 engine rules catch-up。",
    ),
    "weekly": ("Now: it looks {fact}, next at {until}.", "当前：{fact}查看，下一次为{until}。"),
    "weekly_unwatched": (
        "Now: it looks {fact}, at who has done something since the rule was published; "
        "at everybody after `engine rules catch-up`.",
        "当前：{fact}查看规则发布以来有过互动的客户；运行 engine rules catch-up 后查看所有客户。",
    ),
    "date_waits": ("Now: {fact} is {value}; it comes true at {until}{done}.",
                   "当前：{fact}为{value}，将于{until}触发{done}。"),
    "date_none": ("Now: the profile has no {fact}.", "当前：客户资料中没有{fact}。"),
    "date_over": ("Now: {fact} is {value}, which is over{done}.",
                  "当前：{fact}为{value}，已经过去{done}。"),
    "date_unreadable": ("Now: {fact} is {value}, which is no date (YYYY-MM-DD).",
                        "当前：{fact}为{value}，不是日期（YYYY-MM-DD）。"),
    "date_unwatched": (
        "Now: {fact} is {value}; nothing has come from the customer since the rule was published: "
        "it begins with what comes next, or with `engine rules catch-up`.",
        "当前：{fact}为{value}；自规则发布以来客户尚无任何事件；"
        "下次互动后开始，或运行 engine rules catch-up。",
    ),
}  # fmt: skip
OF_THINGS = {  # of rules about shops, adverts and the like, where the customer's words do not fit
    "suppressed": ("The {who} is left alone with this until {until}{rival}.",
                   "该{who}在{until}之前不触发此类规则{rival}。"),
    "no_channel": ("The {who} cannot be written to: {ways}{table}.",
                   "无法通过这些渠道联系该{who}：{ways}{table}。"),
    "no_grade": ("The table has no grade for the {who}{table}.",
                 "分级表中没有适用于该{who}的档位{table}。"),
    "scope": ("The rule is tried elsewhere: {scope}{values}.",
              "规则目前不对该{who}试行：{scope}{values}。"),
    "silence_unwatched": (
        "Now: no {sign} since {since}, that is since before the rule was published; "
        "it begins with the next {sign}.",
        "当前：自{since}起没有{sign}，早于规则发布；规则从下次{sign}开始计时。",
    ),
    "weekly_unwatched": (
        "Now: it looks {fact}, once something has happened since the rule was published; "
        "nothing has yet.",
        "当前：{fact}查看，但自规则发布以来该{who}尚无任何事件，因此还未开始。",
    ),
    "date_none": ("Now: of the {who} no {fact} is known.", "当前：该{who}没有{fact}。"),
    "date_unwatched": (
        "Now: {fact} is {value}; nothing has happened since the rule was published: "
        "it begins with what comes next.",
        "当前：{fact}为{value}；自规则发布以来该{who}尚无任何事件，下次事件后开始。",
    ),
}  # fmt: skip
KINDS = {  # what a rule may be about
    "person": ("customer", "客户"),
    "store": ("shop", "门店"),
    "ad": ("advert", "广告"),
    "agent": ("agent", "坐席"),
    "topic": ("topic", "话题"),
    "budget": ("budget", "预算"),
    "incident": ("incident", "同因事件"),
    "city": ("city", "城市"),
}
OFTEN = (" {times:,} times since {since}.", "自{since}起共{times:,}次。")
ACTIONS = {  # what a rule does, by the type of its action
    "offer": ("offer {}", "提供优惠 {}"),
    "message": ("message {}", "发送消息 {}"),
    "case": ("case {}", "开工单 {}"),
    "event": ("event {}", "发出事件 {}"),
    "suppress": ("nothing more of {} for a while", "暂停 {}"),
}
