# A subordinate: it has no units of its own, and comes with an integration.
resource "juju_application" "fan" {
  name       = var.app_name
  model_uuid = var.model_uuid

  charm {
    name     = "fan"
    base     = var.base
    channel  = var.channel
    revision = var.revision
  }

  config = var.config
}
