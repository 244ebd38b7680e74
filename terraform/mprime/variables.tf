variable "app_name" {
  description = "What the application is called"
  type        = string
  default     = "mprime"
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
      "checkpoint-minutes",
      "computer-name",
      "cpu-policy",
      "cpus",
      "cpuset",
      "disk-limit",
      "image",
      "install_keys",
      "install_sources",
      "memory-limit",
      "metrics-port",
      "network",
      "primenet-user",
      "registry-ca",
      "registry-credentials",
      "remove-work",
      "require-digest",
      "work-preference",
      "worktodo",
    ])) == 0
    error_message = "config has a key that is not an option of the charm mprime; juju config mprime lists them."
  }
}

variable "model_uuid" {
  description = "The UUID of the model to deploy into"
  type        = string
}

variable "resources" {
  description = "A revision on Charmhub of the resource mprime-image, as a string"
  type        = map(string)
  default     = {}
}

variable "revision" {
  description = "The charm's revision on Charmhub; null: the latest in the channel"
  type        = number
  default     = null
}
