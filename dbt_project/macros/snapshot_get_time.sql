{# A snapshot's time is the platform's clock, so that any day of the past can be run again; the
   engine's own where dbt was not started by the platform. #}
{% macro duckdb__snapshot_get_time() -%}
    {%- set now = env_var('OPS_DBT_NOW', '') -%}
    {%- if now -%}
    cast('{{ now }}' as timestamp)
    {%- else -%}
    cast({{ dbt.current_timestamp() }} as timestamp)
    {%- endif -%}
{%- endmacro %}
