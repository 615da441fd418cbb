// @rudderstack/rudder-sdk-node as its documentation uses it: gzip under a form's content type.
import RudderAnalytics from '@rudderstack/rudder-sdk-node'
const client = new RudderAnalytics('any', { dataPlaneUrl: process.argv[2], flushAt: 1 })
client.identify({ userId: 'u1', traits: { email: 'ann@customers.example', tier: 'gold' } })
client.track({ userId: 'u1', event: 'Order Completed', messageId: 'mine-1', properties: { total: 42.5, currency: 'CNY' } })
client.track({ anonymousId: 'a1', event: 'Order Completed', properties: { total: 'x' } })
client.page({ anonymousId: 'a1', name: 'home', properties: { path: '/' } })
await client.flush()
