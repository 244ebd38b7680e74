# What bundles/everything.yaml deploys: two principals, with every charm of this repository beside
# them.
resource "juju_application" "apache2" {
  name       = "apache2"
  model_uuid = var.model_uuid
  units      = 1

  charm {
    name    = "apache2"
    base    = var.base
    channel = "latest/stable"
  }
}

resource "juju_application" "ubuntu" {
  name       = "ubuntu"
  model_uuid = var.model_uuid
  units      = 1

  charm {
    name    = "ubuntu"
    base    = var.base
    channel = "latest/stable"
  }
}

module "fan" {
  source     = "../fan"
  model_uuid = var.model_uuid
  base       = var.base
  channel    = var.channel
}

module "golden_ratio" {
  source     = "../golden-ratio"
  model_uuid = var.model_uuid
  base       = var.base
  channel    = var.channel
}

module "mprime" {
  source     = "../mprime"
  model_uuid = var.model_uuid
  base       = var.base
  channel    = var.channel
}

module "spare" {
  source     = "../spare"
  model_uuid = var.model_uuid
  base       = var.base
  channel    = var.channel

  config = {
    # It stands for a program of your own.
    image   = "busybox:1.37"
    command = "sha256sum /dev/zero"
    network = "fan"
  }
}

locals {
  # Every charm offers juju-info; any other principals can take the place of these two.
  attached = {
    apache2-fan         = { principal = juju_application.apache2, subordinate = module.fan }
    apache2-mprime      = { principal = juju_application.apache2, subordinate = module.mprime }
    ubuntu-fan          = { principal = juju_application.ubuntu, subordinate = module.fan }
    ubuntu-golden-ratio = { principal = juju_application.ubuntu, subordinate = module.golden_ratio }
    ubuntu-spare        = { principal = juju_application.ubuntu, subordinate = module.spare }
  }
}

resource "juju_integration" "attached" {
  for_each   = local.attached
  model_uuid = var.model_uuid

  application {
    name     = each.value.principal.name
    endpoint = "juju-info"
  }

  application {
    name     = each.value.subordinate.app_name
    endpoint = each.value.subordinate.requires.juju_info
  }
}
