variable "app_name" {
  description = "What the application is called"
  type        = string
  default     = "fan"
}

variable "base" {
  description = "The base to run on, which must be the principal's; null: the charm's choice"
  type        = string
  default     = null
}

variable "channel" {
  description = "The channel on Charmhub to deploy from"
  type        = string
  default     = "latest/stable"
}

variable "config" {
  description = "Values of the charm's options, by their names"
  type        = map(string)
  default     = {}

  validation {
    condition = length(setsubtract(keys(var.config), [
      "dhcp",
      "docker",
      "docker-network",
      "encapsulation",
      "install_keys",
      "install_sources",
      "lxd",
      "lxd-network",
      "masquerade",
      "metrics-port",
      "mtu",
      "overlay",
      "port",
      "shortcuts",
      "underlay",
      "vni",
    ])) == 0
    error_message = "config has a key that is not an option of the charm fan; juju config fan lists them."
  }
}

variable "model_uuid" {
  description = "The UUID of the model to deploy into"
  type        = string
}

variable "revision" {
  description = "The charm's revision on Charmhub; null: the latest in the channel"
  type        = number
  default     = null
}
