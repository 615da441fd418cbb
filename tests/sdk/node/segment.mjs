// @segment/analytics-node as its documentation uses it.
import { Analytics } from '@segment/analytics-node'
const analytics = new Analytics({ writeKey: 'any', host: process.argv[2] })
analytics.identify({ userId: 'u1', traits: { email: 'ann@customers.example', tier: 'gold' } })
analytics.track({ userId: 'u1', event: 'Order Completed', messageId: 'mine-1', properties: { total: 42.5, currency: 'CNY' } })
analytics.track({ anonymousId: 'a1', event: 'Order Completed', properties: { total: 'x' } })
analytics.page({ anonymousId: 'a1', name: 'home', properties: { path: '/' } })
await analytics.closeAndFlush()
