"""What browser SDKs ask for before their first event: settings of a source, as they expect them."""

import orjson


def segment_settings(write_key: str) -> bytes:
    """Return what `analytics-next` loads from `/v1/projects/<key>/settings`."""
    return orjson.dumps(
        {
            "integrations": {
                "Segment.io": {
                    "apiKey": write_key,
                    "unbundledIntegrations": [],
                    "addBundledMetadata": True,
                    "maybeBundledConfigIds": {},
                    "versionSettings": {"version": "4.4.7", "componentTypes": ["browser"]},
                }
            },
            "plan": {"track": {"__default": {"enabled": True, "integrations": {}}}},
            "edgeFunction": {},
            "analyticsNextEnabled": True,
            "middlewareSettings": {},
            "enabledMiddleware": {},
            "metrics": {"sampleRate": 0},
            "legacyVideoPluginsEnabled": False,
            "remotePlugins": [],
        }
    )


def rudder_settings(write_key: str, data_plane: str) -> bytes:
    """Return what `@rudderstack/analytics-js` loads from `/sourceConfig/`."""
    return orjson.dumps(
        {
            "source": {
                "id": write_key,
                "name": write_key,
                "writeKey": write_key,
                "enabled": True,
                "workspaceId": "touchpoint",
                "config": {
                    "statsCollection": {
                        "errors": {"enabled": False},
                        "metrics": {"enabled": False},
                    }
                },
                "destinations": [],
                "connections": [],
                "dataplanes": {"US": [{"url": data_plane, "default": True}]},
            },
            "updatedAt": "2026-01-01T00:00:00.000Z",
        }
    )
