{#- The schemas are called `staging` and `marts` everywhere: one database holds one deployment. -#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ custom_schema_name | trim if custom_schema_name else target.schema }}
{%- endmacro %}
